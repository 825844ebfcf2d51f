from arielflow.check_settings import checked_settings
from arielflow.jobs import job
from arielflow.provenance import write_json

with job(snakemake.log[0]):
    write_json(checked_settings(snakemake.params.settings), snakemake.output.settings)
