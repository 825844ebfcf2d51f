from shutil import copyfile

from arielflow.jobs import job

with job(snakemake):
    copyfile(snakemake.input.file, snakemake.output.file)
