"""What certificates come to: how many planets of a row are red, and a verdict on the row itself."""

from __future__ import annotations

import pandas as pd

VERDICTS = ("green", "amber", "red")

_LARGEST_RED_SHARE = 0.5
_SCORES = ("posterior_score", "final_score", "r2_mean")


def verdict_counts(certificates: pd.DataFrame, row: str) -> dict[str, int]:
    """How many planets of a row are green, amber and red; nothing for a row without certificates.

    Parameters
    ----------
    certificates
        What :func:`arielflow.evaluation.trust.rows.certify_rows` returned.
    row
        The row's name.
    """
    own = certificates.loc[certificates["row"] == row, "verdict"]
    return {name: int((own == name).sum()) for name in VERDICTS} if len(own) else {}


def row_verdicts(certificates: pd.DataFrame, leaderboard: pd.DataFrame | None) -> pd.DataFrame:
    """A verdict on every row as a whole.

    A row is red whose score is below the prior's, whatever its planets say, and one most of whose
    planets are red.

    Parameters
    ----------
    certificates
        What :func:`arielflow.evaluation.trust.rows.certify_rows` returned.
    leaderboard
        Scores by ``model``, the reference row ``prior`` among them; None where the truth is not
        known.

    Returns
    -------
    pandas.DataFrame
        ``row``, ``verdict``, ``reasons``, and how many planets are ``green``, ``amber``, ``red``;
        blank for rows without certificates.
    """
    worse = _below_prior(leaderboard)
    names = list(dict.fromkeys([*certificates["row"], *worse]))
    return pd.DataFrame([_row_verdict(name, certificates, worse.get(name, "")) for name in names])


def _below_prior(leaderboard: pd.DataFrame | None) -> dict[str, str]:
    """Why a row is worse than the prior, empty where it is not, by row."""
    if leaderboard is None or "prior" not in set(leaderboard["model"]):
        return {}
    board = leaderboard.set_index("model")
    score = next((name for name in _SCORES if name in board and board[name].notna()["prior"]), None)
    if score is None:
        return {}
    floor = board[score]["prior"]
    return {
        name: f"{score} {value:.4g}, below the prior's {floor:.4g}" if value < floor else ""
        for name, value in board[score].items()
        if name not in ("prior", "ceiling")
    }


def _row_verdict(name: str, certificates: pd.DataFrame, worse: str) -> dict[str, object]:
    counts = verdict_counts(certificates, name)
    reasons = [worse] if worse else []
    if counts and counts["red"] > _LARGEST_RED_SHARE * sum(counts.values()):
        reasons.append("most of its planets are red")
    verdict = "red" if reasons else "green"
    blank = dict.fromkeys(VERDICTS)
    return {"row": name, "verdict": verdict, "reasons": "; ".join(reasons), **(counts or blank)}
