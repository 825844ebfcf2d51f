"""Published numbers that a report shows beside a run's own."""

from __future__ import annotations

import pandas as pd

from arielflow.editions import Edition

_R2 = {
    "plan-net, 5 Bayesian networks": (
        "Cobb et al. 2019",
        {
            "planet_temperature": 0.770,
            "H2O": 0.629,
            "HCN": 0.491,
            "NH3": 0.723,
            "cloud_opacity": 0.751,
        },
    ),
    "random forest, 1,000 trees": (
        "Márquez-Neila et al. 2018",
        {
            "planet_temperature": 0.74,
            "H2O": 0.60,
            "HCN": 0.45,
            "NH3": 0.69,
            "cloud_opacity": 0.73,
        },
    ),
}

LITERATURE = {
    "WASP-12b": [
        {
            "source": "Cobb et al. 2019 (plan-net)",
            "quantity": "planet_temperature",
            "value": 1123.0,
            "error": 450.0,
        },
        {
            "source": "Cobb et al. 2019 (plan-net)",
            "quantity": "H2O",
            "value": -2.84,
            "error": 0.26,
        },
    ]
}
"""Values and one-sigma errors for observed planets, in the targets' units."""


def published_r2(edition: Edition) -> pd.DataFrame | None:
    """Published R² of the posterior mean by target, or None where the edition has no R² score."""
    if "r2" not in edition.metrics:
        return None
    rows = []
    for model, (reference, scores) in _R2.items():
        row: dict[str, object] = {"model": model, "reference": reference}
        row |= {f"r2_{target.name}": scores[target.quantity] for target in edition.targets}
        row["r2_mean"] = sum(scores.values()) / len(scores)
        rows.append(row)
    return pd.DataFrame(rows)
