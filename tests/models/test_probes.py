"""Linear probes find what is there, and nothing that is not."""

from __future__ import annotations

import numpy as np
import pytest

from arielflow.models.probes import linear_probe


def test_a_linear_probe_is_cross_validated() -> None:
    rng = np.random.default_rng(1)
    latent = rng.normal(size=(200, 3))
    assert linear_probe(latent, latent @ [1, 2, 3], 1) == pytest.approx(1)
    assert linear_probe(latent, rng.normal(size=200), 1) < 0.05
    assert np.isnan(linear_probe(latent, np.full(200, np.nan), 1))
