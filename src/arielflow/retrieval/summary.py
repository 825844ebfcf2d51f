"""What retrievals found, for people and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from arielflow.core.samples import weighted_quantiles
from arielflow.retrieval.fit_check import POOR_FIT


def summarise(posterior: xr.Dataset) -> dict[str, dict[str, Any]]:
    """What a retrieval found, by planet, in types that JSON knows.

    Returns
    -------
    dict
        ``retrieved``, ``fault``, ``log_evidence`` (None without a retrieval),
        ``effective_samples``, ``likelihood_calls``, ``seconds``, ``chi_square_per_bin``,
        ``worst_bin`` [um], ``worst_bin_residual`` [error bars] (None without a retrieval),
        ``at_prior_edge``, names of targets, and ``targets``: median, 16 % and 84 % quantile of
        each by name, in its own units.
    """
    summary = {}
    for row, name in enumerate(posterior["planet"].values):
        part = posterior.isel(planet=row)
        quantiles = weighted_quantiles(
            part["theta"].values, part["weight"].values, [0.5, 0.16, 0.84]
        )
        retrieved = bool(part["retrieved"])
        summary[str(name)] = {
            "retrieved": retrieved,
            "fault": part["fault"].item(),
            "log_evidence": part["log_evidence"].item() if retrieved else None,
            "effective_samples": part["effective_samples"].item(),
            "likelihood_calls": part["likelihood_calls"].item(),
            "seconds": part["seconds"].item(),
            **{name: _number(part[name].item()) for name in _FIT},
            "at_prior_edge": [str(t) for t in part["target"].values[part["at_prior_edge"] > 0]],
            "targets": {
                str(target): dict(zip(("median", "low", "high"), map(float, column), strict=True))
                for target, column in zip(part["target"].values, quantiles.T, strict=True)
            },
        }
    return summary


_FIT = ("chi_square_per_bin", "worst_bin", "worst_bin_residual")


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _fit_words(found: dict[str, Any]) -> str:
    """How well a planet's spectrum is met, in words."""
    if found["chi_square_per_bin"] is None:
        return "  fit: no spectrum at its samples"
    poor = ", a poor fit" if found["chi_square_per_bin"] > POOR_FIT else ""
    edge = f"; at the prior's edge: {', '.join(found['at_prior_edge'])}"
    return (
        f"  fit: chi-square per bin {found['chi_square_per_bin']:.3g}{poor}, worst bin "
        f"{found['worst_bin']:.4g} um by {found['worst_bin_residual']:+.2g} error bars"
        + (edge if found["at_prior_edge"] else "")
    )


def summary_lines(summary: dict[str, dict[str, Any]]) -> list[str]:
    """The summary in words: a line a planet, one on its fit, then one a target."""
    lines = []
    for name, found in summary.items():
        if not found["retrieved"]:
            lines.append(f"{name}: not retrieved, its samples are the prior's: {found['fault']}")
            continue
        lines.append(
            f"{name}: log-evidence {found['log_evidence']:.2f}, {found['effective_samples']:.0f} "
            f"effective samples, {found['likelihood_calls']} likelihood calls, "
            f"{found['seconds']:.1f} s"
        )
        lines.append(_fit_words(found))
        lines += [
            f"  {target:<15} {q['median']:.4g}  ({q['low']:.4g} to {q['high']:.4g})"
            for target, q in found["targets"].items()
        ]
    return lines
