from arielflow.report.chemistry_page import write_chemistry_page
from arielflow.runs.job import job

with job(snakemake):
    write_chemistry_page(
        snakemake.params.run,
        snakemake.params.settings,
        snakemake.input.model,
        snakemake.input.history,
        snakemake.input.evaluation,
        snakemake.output.page,
        snakemake.output.figures,
    )
