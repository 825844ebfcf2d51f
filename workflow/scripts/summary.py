from arielflow.core.files import atomic_path
from arielflow.report.summary import run_summary
from arielflow.runs.job import job

with job(snakemake):
    given = snakemake.input
    text = run_summary(
        page=given.page,
        model=snakemake.params.model,
        leaderboard=given.get("leaderboard") or None,
        submission=given.get("submission") or [],
        check=given.get("check") or None,
    )
    with atomic_path(snakemake.output.summary) as temporary:
        temporary.write_text(text)
