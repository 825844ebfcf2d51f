from arielflow.download import download
from arielflow.jobs import job

with job(snakemake.log[0]):
    download(snakemake.params.url, snakemake.output.file, snakemake.params.checksum)
