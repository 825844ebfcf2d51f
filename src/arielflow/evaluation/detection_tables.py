"""Detections of molecules in a few planets of a run, as tables and back."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.seeds import derived_seed
from arielflow.data.forward_models import edition_model
from arielflow.editions import Edition
from arielflow.evaluation.detections import Detection, planet_detections
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.absent_molecules import ABSENT_SETTINGS
from arielflow.retrieval.kept_draws import kept_draws
from arielflow.retrieval.planets import choose_planets
from arielflow.settings.importance import ImportanceSettings

log = logging.getLogger(__name__)

_COLUMNS = [
    *("planet", "molecule", "log_bayes_factor", "elpd_loss", "elpd_loss_error"),
    *("leading_wavelength_um", "log_bayes_factor_without_it", "warning"),
]
_BIN_COLUMNS = ["planet", "molecule", "wavelength_um", "elpd_loss", "needs_refit"]
# What makes a sampling dear.
_CAPPED = ("n_proposal", "n_refined", "rounds", "most_draws", "kept_draws")


class DetectionTables(NamedTuple):
    """Which molecules planets show, and by which bins.

    Attributes
    ----------
    molecules : one row a planet and molecule: ``planet``; ``molecule``; ``log_bayes_factor``, a
        natural logarithm, of the model with it over the one without it; ``elpd_loss`` and
        ``elpd_loss_error``, what leaving it out loses in expected log predictive density over all
        bins; ``leading_wavelength_um``, the bin that speaks most for it;
        ``log_bayes_factor_without_it``, what is left of the factor without that bin; ``warning``,
        empty where there is nothing to say. The numbers are NaN where a comparison failed.
    bins : one row a planet, molecule and bin: ``planet``, ``molecule``, ``wavelength_um``,
        ``elpd_loss``, and ``needs_refit``, 1 where the loss is not to be trusted
    """

    molecules: pd.DataFrame
    bins: pd.DataFrame


def detect_molecules(
    edition: Edition,
    planets: xr.Dataset,
    posterior: xr.Dataset,
    names: Sequence[str],
    *,
    physics: PhysicsSettings,
    seed: int,
    settings: ImportanceSettings | None = None,
) -> DetectionTables:
    """Leave every molecule, and with and without it every bin, out of planets' posteriors.

    What cannot be compared is told in the planet's ``warning``.

    Parameters
    ----------
    edition, planets
        Planets dataset and its edition.
    posterior
        Posterior dataset of importance sampling, see :mod:`arielflow.retrieval.kept_draws`.
    names
        Identifiers of the planets to look at.
    physics
        Opacities and mode of the forward model that the posterior was made with.
    seed
        Of the sampling without a molecule.
    settings
        Of the sampling with it: that without it takes no more draws.

    Raises
    ------
    ArielflowError
        The forward model cannot be had for these planets, or one is not in the data set.
    """
    chosen = choose_planets(planets, names)
    forward = ForwardModel(edition_model(edition, physics), chosen)
    sampling = _capped(settings or ImportanceSettings())
    rows: list[dict[str, object]] = []
    bins: list[pd.DataFrame] = []
    for number, name in enumerate(map(str, chosen["planet"].values)):
        for molecule in forward.transmission.molecules:
            found = _detection(forward, number, molecule, posterior, seed, sampling)
            if isinstance(found, str):
                log.warning("%s: not compared without %s: %s", name, molecule, found)
                warning = f"{molecule} could not be left out: {found}"
                rows.append({"planet": name, "molecule": molecule, "warning": warning})
                continue
            wavelength_um = forward.systems.wavelength_um
            rows.append(_molecule_row(name, molecule, wavelength_um, found))
            bins.append(_bin_rows(name, molecule, wavelength_um, found))
    empty = pd.DataFrame(columns=_BIN_COLUMNS)
    return DetectionTables(
        pd.DataFrame(rows, columns=_COLUMNS), pd.concat(bins or [empty], ignore_index=True)
    )


def _capped(own: ImportanceSettings) -> ImportanceSettings:
    least = {name: min(getattr(ABSENT_SETTINGS, name), getattr(own, name)) for name in _CAPPED}
    return ABSENT_SETTINGS.model_copy(update=least)


def _detection(
    forward: ForwardModel,
    planet: int,
    molecule: str,
    posterior: xr.Dataset,
    seed: int,
    settings: ImportanceSettings,
) -> Detection | str:
    """How one molecule is detected in a planet, or why that cannot be told."""
    name = str(forward.systems.names[planet])
    draws = kept_draws(posterior, name)
    if draws is None:
        return "the posterior keeps no weighted draws of this planet"
    log_evidence = float(posterior["log_evidence"].sel(planet=name))
    own = derived_seed(seed, f"detections/{name}")
    try:
        found = planet_detections(
            *(forward, planet, draws, log_evidence),
            molecules=[molecule],
            seed=own,
            settings=settings,
        )
    except ArielflowError as error:
        return str(error)
    return found[molecule]


def _molecule_row(
    planet: str, molecule: str, wavelength_um: np.ndarray, found: Detection
) -> dict[str, object]:
    return {
        "planet": planet,
        "molecule": molecule,
        "log_bayes_factor": found.log_bayes_factor,
        "elpd_loss": found.total,
        "elpd_loss_error": found.total_error,
        "leading_wavelength_um": wavelength_um[found.leading],
        "log_bayes_factor_without_it": found.log_bayes_factor_without[found.leading],
        "warning": found.warning(molecule, wavelength_um),
    }


def _bin_rows(
    planet: str, molecule: str, wavelength_um: np.ndarray, found: Detection
) -> pd.DataFrame:
    columns = planet, molecule, wavelength_um, found.loss, found.needs_refit.astype(np.int8)
    return pd.DataFrame(dict(zip(_BIN_COLUMNS, columns, strict=True)))


def planet_tables(tables: DetectionTables, planet: str) -> tuple[np.ndarray, dict[str, Detection]]:
    """Wavelengths (bin,) [um] and detections by molecule of one planet, out of tables.

    Molecules that could not be compared are left out; both are empty where none could.
    """
    own = tables.bins[tables.bins["planet"] == planet]
    rows = tables.molecules[tables.molecules["planet"] == planet]
    factors = rows.set_index("molecule")["log_bayes_factor"]
    wavelength_um, found = np.empty(0), {}
    for molecule, part in own.groupby("molecule", sort=False):
        wavelength_um = part["wavelength_um"].to_numpy()
        refit = part["needs_refit"].to_numpy() == 1
        found[str(molecule)] = Detection(
            float(factors[molecule]), part["elpd_loss"].to_numpy(), refit
        )
    return wavelength_um, found
