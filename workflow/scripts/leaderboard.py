from pathlib import Path

from arielflow.editions import get_edition
from arielflow.jobs import job
from arielflow.provenance import write_table
from arielflow.readers import read_results
from arielflow.scoring.leaderboard import ks_by_target, leaderboard

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
