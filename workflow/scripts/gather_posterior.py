from arielflow.jobs import job
from arielflow.provenance import write_dataset
from arielflow.retrieve import gather_posteriors
from arielflow.schema import open_dataset

with job(snakemake):
    parts = [open_dataset(path) for path in snakemake.input.chunks]
    planets = open_dataset(snakemake.input.planets)
    write_dataset(gather_posteriors(parts, planets), snakemake.output.posterior)
