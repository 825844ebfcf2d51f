from arielflow.download import download
from arielflow.jobs import job

with job(snakemake):
    download(snakemake.params.url, snakemake.output.file, snakemake.params.checksum)
