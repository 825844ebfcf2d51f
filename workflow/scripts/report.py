from arielflow.report.assemble import assemble_report
from arielflow.runs.job import job

with job(snakemake):
    assemble_report(
        {name: snakemake.input.get(name, []) for name in dict(snakemake.input.items())},
        snakemake.params.config,
        snakemake.params.benchmarks,
        snakemake.output.page,
        snakemake.output.figures,
    )
