from arielflow.ingest import split_planets
from arielflow.jobs import job
from arielflow.provenance import derived_seed, write_table
from arielflow.schema import open_dataset

with job(snakemake):
    split = split_planets(
        open_dataset(snakemake.input.planets),
        snakemake.params.validation_fraction,
        derived_seed(snakemake.params.seed, "split"),
    )
    write_table(split, snakemake.output.split)
