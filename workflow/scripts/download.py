from arielflow.data.download import download
from arielflow.runs.job import job

with job(snakemake):
    download(snakemake.params.url, snakemake.output.file, snakemake.params.checksum)
