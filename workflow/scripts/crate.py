from arielflow.runs.crate import write_crate
from arielflow.runs.job import job

with job(snakemake):
    given = snakemake.input
    write_crate(given.manifest, given.results, given.workflow, snakemake.output.crate)
