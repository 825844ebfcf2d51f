"""Simulated planets with noise-free spectra of the forward model."""

from __future__ import annotations

import logging
from pathlib import Path
from zlib import crc32

import numpy as np
import xarray as xr

from arielflow.core.array_files import read_npy
from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, drop_stale
from arielflow.core.schema import (
    Quality,
    describe,
    target_index,
    validate_planets,
)
from arielflow.core.seeds import fingerprint
from arielflow.data.forward_models import Progress, edition_model, log_limits, model_fingerprint
from arielflow.data.priors import prior_box, prior_range
from arielflow.editions import Edition
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.physics.population import draw_systems, transit_depth_errors
from arielflow.physics.systems import JUPITER_RADIUS_M, surface_gravity_m_s2

log = logging.getLogger(__name__)

# Real planets' radii are roughly uniform in the logarithm; used where the radius is no target.
_KNOWN_RADIUS_RJUP = (0.09, 2.2)
_TABULATED_JUPITER_RADIUS_M = 6.9911e7
_BLOCK = 2000


def simulate_planets(
    edition: Edition,
    n_planets: int,
    *,
    seed: int,
    split: str,
    prior: str,
    physics: PhysicsSettings,
    population: str | None = None,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Draw planets of one split and compute their spectra.

    The first n planets of a seed and split are the same however many are drawn.

    Parameters
    ----------
    edition
        Gives targets, columns and grid.
    n_planets
        Number of planets.
    seed, split
        Seed of the data set; every split has its own stream.
    prior
        Name of the retrieval prior, whose box the planets bear.
    physics
        Opacities and mode of the forward model.
    population
        Name of the prior that theta is drawn from; the retrieval prior if left out.
    scratch
        Keeps finished blocks of spectra, so that an interrupted call resumes.
    progress
        Called with the number of spectra computed and of all.
    """
    radius = next((t for t in edition.targets if t.quantity == "planet_radius"), None)
    span = prior_range(edition, radius, prior) if radius else None
    systems = draw_systems(
        n_planets,
        seed=seed,
        split=split,
        radius_rjup=(span.low, span.high) if span else _KNOWN_RADIUS_RJUP,
        log_uniform_radius=span is None,
    )
    errors = transit_depth_errors(
        systems, edition.wavelength_um, edition.wavelength_width_um, seed=seed, split=split
    )
    planets = _planets_dataset(edition, systems, errors, split)
    low, high = prior_box(edition, planets, population or prior)
    rng = np.random.default_rng([seed, crc32(f"{split}/theta".encode())])
    theta = low + (high - low) * rng.random(low.shape)
    column = target_index(planets, "planet_radius")
    if column is not None:
        theta[:, column] = systems["planet_radius_rjup"]
    planets["theta"] = (("planet", "target"), theta)
    for name, edge in zip(
        ("prior_low", "prior_high"), prior_box(edition, planets, prior), strict=True
    ):
        planets[name] = (("planet", "target"), edge)
    planets.attrs["prior"] = prior
    forward = ForwardModel(edition_model(edition, physics), planets)
    depth = planets["transit_depth"].values
    blocks = [np.arange(i, min(i + _BLOCK, n_planets)) for i in range(0, n_planets, _BLOCK)]
    files = _block_files(planets, blocks, model_fingerprint(edition, physics), split, scratch)
    for rows, file in zip(blocks, files, strict=True):
        depth[rows] = _block_spectra(forward, planets, rows, file)
        if progress:
            progress(int(rows[-1]) + 1, n_planets)
    log_limits(forward.transmission, f"{split} planets")
    with np.errstate(invalid="ignore"):
        runaway = ~(np.isfinite(depth).all(axis=1) & (depth < 1).all(axis=1))
    planets["quality"].values[runaway] = int(Quality.DEPTH_OUT_OF_RANGE)
    return validate_planets(describe(planets))


def _block_files(
    planets: xr.Dataset, blocks: list[np.ndarray], mark: str, split: str, scratch: Path | None
) -> list[Path | None]:
    """Where the blocks' spectra are kept; files of other planets or another model are removed."""
    if scratch is None:
        return [None] * len(blocks)
    values = planets["theta"].values, planets["auxiliary_value"].values
    marks = [fingerprint(mark, *(column[rows] for column in values))[:32] for rows in blocks]
    files = [scratch / f"spectra-{split}-{own}.npy" for own in marks]
    drop_stale(
        [*scratch.glob(f"spectra-{split}-*.npy"), *scratch.glob(f"spectra-{'?' * 32}.npy")],
        set(files),
        "another call's settings, opacities or code",
    )
    return files


def _block_spectra(
    forward: ForwardModel, planets: xr.Dataset, rows: np.ndarray, file: Path | None
) -> np.ndarray:
    """Spectra of some planets, read from the file if an earlier call computed the same ones."""
    if file is not None and file.is_file():
        try:
            return read_npy(file, (len(rows), planets.sizes["wavelength"]))
        except ArielflowError as error:
            log.warning("computed again: %s", error)
    depth = forward.spectra(rows, planets["theta"].values[rows])
    if file is not None:
        with atomic_path(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, depth)
    return depth


def _planets_dataset(
    edition: Edition, systems: dict[str, np.ndarray], errors: np.ndarray, split: str
) -> xr.Dataset:
    n_planets = len(errors)
    radius_m = systems["planet_radius_rjup"] * JUPITER_RADIUS_M
    values = systems | {
        "surface_gravity_m_s2": surface_gravity_m_s2(systems["planet_mass_kg"], radius_m),
        "tabulated_planet_radius_m": systems["planet_radius_rjup"] * _TABULATED_JUPITER_RADIUS_M,
    }
    bounds = np.array([target.score_bounds for target in edition.targets])
    return xr.Dataset(
        {
            "transit_depth": (("planet", "wavelength"), np.full_like(errors, np.nan)),
            "transit_depth_error": (("planet", "wavelength"), errors),
            "wavelength_width": ("wavelength", edition.wavelength_width_um),
            "auxiliary_value": (
                ("planet", "auxiliary"),
                np.stack([values[column.quantity] for column in edition.auxiliary], axis=1),
            ),
            "score_low": ("target", bounds[:, 0]),
            "score_high": ("target", bounds[:, 1]),
            "quality": ("planet", np.zeros(n_planets, dtype=np.int64)),
        },
        coords=edition.coordinates() | {"planet": edition.identifiers(split, n_planets)},
        attrs={"edition": edition.name, "split": split, "noise": edition.noise},
    )
