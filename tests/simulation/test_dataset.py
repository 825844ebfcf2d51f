"""Simulated data sets in the official layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from arielflow.data.forward_models import edition_fingerprint, edition_model
from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.physics.nodes import NodeRange, NodeSet, write_nodes
from arielflow.physics.rays import Rays
from arielflow.simulation.dataset import simulate
from arielflow.simulation.library import TruthLibrary

EDITION = get_edition("adc2023")
LIBRARY = Path(__file__).parents[2] / "data/embedded/truth.h5"


def test_planets_with_truth_have_spectra_of_the_reference_mode(
    physics: PhysicsSettings, tmp_path: Path
) -> None:
    """The shipped truth was sampled for these; the other training planets are the fast mode's."""
    # All wavelengths, but so few rays that the difference cannot be overlooked.
    matrix = edition_model(EDITION, physics).projection
    rays = Rays(np.arange(0, 100, 10), np.full(10, 10.0))
    coarse = replace(physics, nodes=str(tmp_path / "nodes.npz"))
    mark = edition_fingerprint(EDITION, physics)
    nodes = NodeSet(np.arange(matrix.shape[1]), matrix, rays, mark, NodeRange(), {})
    write_nodes(nodes, coarse.nodes)
    options = {"n_train": 8, "n_traces": 2, "n_test": 2, "seed": 2026, "prior": "matched"}
    options |= {"truth_library": [LIBRARY]}
    found, exact = (
        simulate(EDITION, tmp_path / name, physics=mode, **options)
        for name, mode in (("coarse", coarse), ("exact", physics))
    )
    for split, count in (("train", 2), ("test", 2)):
        first = [part[split]["transit_depth"].values[:count] for part in (found, exact)]
        np.testing.assert_allclose(*first, rtol=1e-7)
        planet = found[split].isel(planet=[count - 1])
        assert TruthLibrary(LIBRARY).look_up(planet, split, "truth") is not None
    rest = [part["train"]["transit_depth"].values[2:] for part in (found, exact)]
    assert 1e-6 < np.abs(rest[0] - rest[1]).max() < 1e-3
