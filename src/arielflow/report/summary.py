"""The few lines that a finished run prints: where things are, and the score."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from arielflow.core.readers import read_json_object
from arielflow.core.tables import read_results
from arielflow.evaluation.trust.verdicts import VERDICTS


def run_summary(
    *,
    page: str,
    model: str,
    leaderboard: str | None,
    submission: Sequence[str],
    check: str | None,
) -> str:
    """Plain text naming the submission, its validity, its score and the report.

    Parameters
    ----------
    page, leaderboard, check
        Files of the run: report, leaderboard and the submission's check; None where there is none.
    model
        The model submitted.
    submission
        Official files.
    """
    lines = []
    if check is not None:
        found = read_json_object(check, ["valid"], "run the rule submit again")
        verdict = "valid" if found["valid"] else "NOT VALID"
        n_warnings = sum(map(len, found.get("warnings", {}).values()))
        if n_warnings:
            verdict += f", {n_warnings} warnings in {check}"
        lines += [f"submission   {path}  ({verdict})" for path in submission]
        if counts := found.get("certificates"):
            told = ", ".join(f"{counts[name]} {name}" for name in VERDICTS)
            lines.append(f"certificates {told} planets of {model}")
    if leaderboard is not None:
        table = read_results(leaderboard).set_index("model")
        for key in ("score", "final_score", "posterior_score", "spectral_score", "r2_mean"):
            if key in table and pd.notna(table.loc[model, key]):
                value, low, high = table.loc[model, [key, f"{key}_low", f"{key}_high"]]
                digits = 3 if key in ("score", "r2_mean") else 1
                lines.append(
                    f"{key.replace('_', ' '):<12} {value:.{digits}f}  "
                    f"(95 %: {low:.{digits}f} to {high:.{digits}f}; model {model})"
                )
        lines.append(f"leaderboard  {leaderboard}")
    lines.append(f"report       {page}")
    return "\n".join(lines) + "\n"
