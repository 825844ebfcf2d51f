from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.splits import read_split
from arielflow.exploration.representations import compare_representations, model_folders
from arielflow.runs.job import job

with job(snakemake):
    params = snakemake.params
    result = compare_representations(
        model_folders(snakemake.input.models),
        open_dataset(snakemake.input.planets),
        read_split(snakemake.input.split),
        open_dataset(snakemake.input.test),
        open_dataset(snakemake.input.exploration),
        seed=derived_seed(params.seed, "representation"),
        device=params.device,
    )
    write_dataset(result, snakemake.output.comparison)
