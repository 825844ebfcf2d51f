from pathlib import Path

from arielflow.core.files import write_table
from arielflow.core.tables import read_results
from arielflow.editions import get_edition
from arielflow.evaluation.leaderboard import ks_by_target, leaderboard
from arielflow.runs.job import job

with job(snakemake):
    edition = get_edition(snakemake.params.edition)
    tables = {Path(path).stem: read_results(path) for path in snakemake.input.scores}
    board = leaderboard(
        tables,
        target_names=edition.target_names,
        metrics=edition.metrics,
        seed=snakemake.params.seed,
        calibration={Path(path).stem: read_results(path) for path in snakemake.input.calibration},
    )
    write_table(board, snakemake.output.leaderboard)
    write_table(ks_by_target(tables), snakemake.output.ks_by_target)
