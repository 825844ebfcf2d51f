"""Every way to a posterior that a run has, in one table: scores, worst planet, evidence and cost.

    python benchmarks/retrieval.py                       # results/benchmark
    python benchmarks/retrieval.py --run wide
    python benchmarks/retrieval.py --sbi-python PATH     # trains sbi's NPE too

is called from the project's folder once the run is finished. It prints and saves
``benchmarks/retrieval.csv``: the rows of the run's leaderboard, and ``sbi_npe`` and
``flow_variational`` where ``results/<run>/extra/<row>.nc`` holds their posteriors; and
``benchmarks/importance_evidence.csv``: the log-evidence of importance sampling, planet by planet,
beside that of nested sampling. Tables of other runs bear the run's name. PATH is an interpreter
that has ``sbi==0.27.0`` and the project's dependencies; see ``benchmarks/sbi_peer.py``. What is
finished is kept in ``results/<run>/extra`` and not made again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from retrieval_evidence import evidence_summary, evidence_table, library_evidence
from retrieval_run import SBI, FinishedRun, extra_rows, extra_scores, row_cost, train_sbi
from rich.console import Console
from rich.table import Table

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_table
from arielflow.evaluation.leaderboard import leaderboard

DEFAULT_RUN = "benchmark"
_WIDTH = 190  # of the printed table, also where the output is no terminal
COLUMNS = {
    "model": None,
    "posterior_score": 1,
    "posterior_score_low": 1,
    "posterior_score_high": 1,
    "percent_of_ceiling": 1,
    "worst_planet": None,
    "worst_planet_score": 1,
    "spectral_score": 1,
    "weighted_ks_score": 1,
    "energy_score": 4,
    "log_prob": 2,
    "calibration_error": 3,
    "forward_calls": 0,
    "seconds_a_planet": 3,
    "training_seconds": 0,
}
"""Columns of the table of retrievals, and the digits that are printed of each."""


def comparison_table(
    scores: Mapping[str, pd.DataFrame],
    calibration: Mapping[str, pd.DataFrame],
    costs: Mapping[str, Mapping[str, float]],
    *,
    target_names: Sequence[str],
    metrics: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """The table of retrievals, the best row first; blank is what a row does not have.

    Parameters
    ----------
    scores
        Scores per planet, by row, as :func:`arielflow.evaluation.rows.score_posterior` gives them.
    calibration
        As for :func:`arielflow.evaluation.leaderboard.leaderboard`.
    costs
        What :func:`retrieval_run.row_cost` gives, by row.
    target_names, metrics
        Names of the edition's targets and metrics.
    seed
        The run's, so that the intervals are those of its leaderboard.

    Returns
    -------
    pandas.DataFrame
        With the columns of ``COLUMNS``: posterior score (official) with its 95 % bootstrap
        interval, and as a share [%] of the ceiling's, which is the truth against its own rerun.
    """
    board = leaderboard(
        scores, target_names=target_names, metrics=metrics, seed=seed, calibration=calibration
    )
    if "posterior_score" not in board:
        raise ArielflowError("table of retrievals: the run's edition has no posterior score")
    ceiling = board.set_index("model")["posterior_score"].get("ceiling", float("nan"))
    board["percent_of_ceiling"] = 100 * board["posterior_score"] / ceiling
    board = board.join(pd.DataFrame.from_dict(costs, orient="index"), on="model")
    return board[list(COLUMNS)]


def compare(run: FinishedRun, console: Console) -> pd.DataFrame:
    """The table of retrievals of a finished run, with the rows from outside the workflow."""
    scores = run.score_tables()
    for row in extra_rows(run):
        with console.status(f"scoring {row}"):
            scores[row] = extra_scores(run, row)
    costs = {}
    for row in scores:
        with console.status(f"cost of {row}"):
            costs[row] = row_cost(run, row)
    return comparison_table(
        scores,
        run.calibration_tables(),
        costs,
        target_names=run.edition.target_names,
        metrics=run.edition.metrics,
        seed=run.config["seed"],
    )


def compare_evidence(run: FinishedRun, console: Console) -> pd.DataFrame | None:
    """Log-evidences of importance and nested sampling; None for a run without the former."""
    models = run.config["importance"]["models"]
    if not models:
        return None
    with console.status("evidence of the nested-sampling truth"):
        truth, rerun = (
            library_evidence(run.library_paths, run.planets, name) for name in ("truth", "rerun")
        )
    tables = [
        evidence_table(model, run.retrieval(f"{model}_importance"), truth, rerun)
        for model in models
    ]
    return pd.concat(tables, ignore_index=True)


def make_tables(
    name: str, folder: Path, console: Console, sbi_python: str | None = None
) -> list[Path]:
    """Make, print and save both tables of a run.

    Parameters
    ----------
    name
        Name of the run, below ``results``.
    folder
        Receives the tables.
    console
        To print on.
    sbi_python
        Interpreter that has sbi; without it its row is there only if it was made before.

    Returns
    -------
    list
        The files written.
    """
    run = FinishedRun.open(Path("results") / name)
    ending = "" if name == DEFAULT_RUN else f"_{name}"
    if sbi_python is not None:
        console.print(f"{SBI}: training, for as long as the flow's first member took", style="dim")
        train_sbi(run, sbi_python)
    elif SBI not in extra_rows(run):
        console.print(f"{SBI}: left out; give --sbi-python to train it", style="dim")
    files = {folder / f"retrieval{ending}.csv": compare(run, console)}
    print_table(next(iter(files.values())), console)
    evidence = compare_evidence(run, console)
    if evidence is None:
        console.print("importance sampling: the run has none, so no table of evidences")
    else:
        files[folder / f"importance_evidence{ending}.csv"] = evidence
        for _, part in evidence.groupby("model", sort=False):
            console.print(evidence_summary(part), highlight=False)
    for path, table in files.items():
        write_table(table.round(5), path)
    return list(files)


def print_table(table: pd.DataFrame, console: Console) -> None:
    """The table of retrievals, each score's interval in its cell."""
    shown = [name for name in COLUMNS if not name.endswith(("_low", "_high"))]
    grid = Table(*(name.replace("_", " ") for name in shown), row_styles=["", "dim"])
    for column, name in zip(grid.columns, shown, strict=True):
        column.justify = "left" if COLUMNS[name] is None else "right"
    for _, row in table.iterrows():
        grid.add_row(*(_cell(row, name) for name in shown))
    console.print(grid)


def _cell(row: pd.Series, name: str) -> str:
    digits = COLUMNS[name]
    if pd.isna(row[name]):
        return ""
    if digits is None:
        return str(row[name])
    text = f"{row[name]:,.{digits}f}"
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return text if pd.isna(low) or pd.isna(high) else f"{text}\n{low:.{digits}f}-{high:.{digits}f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default=DEFAULT_RUN, help="a finished run, below results")
    parser.add_argument("--sbi-python", help="interpreter that has sbi; leave out to skip sbi")
    options = parser.parse_args()
    try:
        make_tables(options.run, Path(__file__).parent, Console(width=_WIDTH), options.sbi_python)
    except ArielflowError as error:
        sys.exit(f"retrieval: {error}")


if __name__ == "__main__":
    main()
