from arielflow.report.frames_assemble import assemble_frame_report
from arielflow.runs.job import job

with job(snakemake):
    assemble_frame_report(
        {name: snakemake.input.get(name, []) for name in dict(snakemake.input.items())},
        snakemake.params.config,
        snakemake.params.curves,
        snakemake.params.benchmarks,
        snakemake.output.page,
        snakemake.output.figures,
    )
