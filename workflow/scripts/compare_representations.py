from arielflow.ingest import read_split
from arielflow.jobs import job
from arielflow.provenance import derived_seed, write_dataset
from arielflow.represent import compare_representations, model_folders
from arielflow.schema import open_dataset

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
