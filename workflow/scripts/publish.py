from shutil import copyfile

from arielflow.runs.job import job

with job(snakemake):
    copyfile(snakemake.input.file, snakemake.output.file)
