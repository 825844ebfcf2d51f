import pandas as pd

from arielflow.core.files import write_table
from arielflow.core.tables import read_results
from arielflow.runs.job import job

with job(snakemake):
    write_table(pd.concat(map(read_results, snakemake.input.chunks)), snakemake.output.quality)
