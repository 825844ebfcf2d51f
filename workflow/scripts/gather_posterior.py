from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.retrieval.planets import gather_posteriors
from arielflow.runs.job import job

with job(snakemake):
    parts = [open_dataset(path) for path in snakemake.input.chunks]
    planets = open_dataset(snakemake.input.planets)
    write_dataset(gather_posteriors(parts, planets), snakemake.output.posterior)
