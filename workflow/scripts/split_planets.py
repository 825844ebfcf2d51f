from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.splits import split_planets
from arielflow.runs.job import job

with job(snakemake):
    split = split_planets(
        open_dataset(snakemake.input.planets),
        snakemake.params.validation_fraction,
        derived_seed(snakemake.params.seed, "split"),
    )
    write_table(split, snakemake.output.split)
