"""Residual tests of the real spectra of 2022 in the cells of photochem's k-tables.

``python benchmarks/trust_k_tables.py SPECTRA KTABLES`` fits every real spectrum and as many fresh
simulated planets as ``--calibration`` says, by built-in opacities and by k-tables, with and
without collision-induced absorption, and without the cells that are as wide as the most precise
bins. Everything is averaged to the cells as in ``k_table_spectra.py``; a case's simulated planets
have its own opacities. Fits are done in eight parts, every eighth planet each, and kept in
``--state``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from k_table_spectra import (
    CASES,
    CHECKS,
    N_PARTS,
    SEED,
    Case,
    averaged,
    averaging,
    bins_used,
    model,
    tables_of,
)
from trust_k_tables_report import Fitted, report

from arielflow.core.files import atomic_path
from arielflow.core.schema import is_usable, open_dataset
from arielflow.data.ingest import ingest
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.trust.residuals import refit
from arielflow.models.features import noisy_copies
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.best_fit import maximum_a_posteriori
from arielflow.settings.best_fit import FitSettings

ROOT = Path(__file__).parents[1]
MAIN = ("builtin_5", "builtin_5_cia", "ktable_5", "ktable_5_cia")
WITHOUT = ("builtin_5_cia_without", "ktable_5_cia_without")


@dataclass(frozen=True)
class Sets:
    """Real and simulated planets in means of bins, and what models of them need.

    Attributes
    ----------
    bins : the real planets in the challenge's own bins
    matrix : shape (cell, bin)
    means : real and simulated planets by name, without noise
    folders : of opacities
    state : where fits are kept
    """

    bins: xr.Dataset
    matrix: np.ndarray
    means: dict[str, xr.Dataset]
    folders: dict[str, Path]
    state: Path

    def transmission(self, case: Case) -> object:
        """The forward model of a case, in the cells that it uses."""
        kept = bins_used(case, self.means["real"])
        return model(case, self.bins, self.matrix[kept], self.folders)

    def planets(self, case: Case, which: str, transmission: object) -> xr.Dataset:
        """Planets of one set in the case's cells, with one draw of noise.

        Simulated planets get the spectra of the case's own opacities.
        """
        means = self.means[which]
        whole = means.isel(wavelength=bins_used(case, means)).copy(deep=True)
        if which == "simulated":
            forward = ForwardModel(transmission, whole)
            rows = np.arange(whole.sizes["planet"])
            whole["transit_depth"].values[:] = forward.spectra(rows, whole["theta"].values)
            whole = whole.isel(planet=np.isfinite(whole["transit_depth"].values).all(axis=1))
        return noisy_copies(whole, SEED + (which == "simulated"))


def prepared(spectra: Path, ktables: Path, calibration: int, state: Path) -> Sets:
    """Real planets and as many fresh ones of the same population."""
    edition = get_edition("adc2022")
    folders = {
        "builtin": ensure_builtin_opacities(state / "opacities"),
        "ktable": ktables / "kdistributions",
        "cia": ktables / "CIA",
    }
    bins, _, _ = ingest(spectra, edition, "test")
    bins = bins.isel(planet=is_usable(bins))
    fresh = simulate_planets(
        edition,
        calibration,
        seed=SEED,
        split="calibration",
        prior=bins.attrs["prior"],
        population="matched",
        physics=PhysicsSettings(str(folders["builtin"])),
    )
    fresh = fresh.isel(planet=is_usable(fresh))
    matrix = averaging(bins, tables_of(CASES["ktable_5"], bins, folders)["H2O"])
    means = {"real": averaged(bins, matrix), "simulated": averaged(fresh, matrix)}
    return Sets(bins, matrix, means, folders, state)


def fit_case(sets: Sets, name: str, which: str, parts: Sequence[int]) -> None:
    """Fit some parts of the planets, unless that has been done."""
    paths = {part: sets.state / f"{which}_{name}_{part}.nc" for part in parts}
    missing = {part: path for part, path in paths.items() if not path.is_file()}
    if not missing:
        return
    case = (CASES | CHECKS)[name]
    transmission = sets.transmission(case)
    twin = sets.transmission(replace(case, cia=not case.cia))
    planets = sets.planets(case, which, transmission)
    for part, path in missing.items():
        own = planets.isel(planet=slice(part, None, N_PARTS))
        fit_part(case, ForwardModel(transmission, own), ForwardModel(twin, own), own, path)
        print(f"{case.label}, {which}, part {part}", flush=True)


def fit_part(
    case: Case, forward: ForwardModel, twin: ForwardModel, planets: xr.Dataset, path: Path
) -> None:
    """Fit planets and keep the fits; the twin differs by collision-induced absorption alone."""
    first = maximum_a_posteriori(forward, planets, seed=SEED, settings=FitSettings(n_starts=1))
    start = first["theta"].values
    middle = 0.5 * (planets["prior_low"].values + planets["prior_high"].values)
    found = refit(forward, planets, np.where(np.isfinite(start), start, middle))
    rows = np.arange(planets.sizes["planet"])
    change = twin.spectra(rows, found.theta) - forward.spectra(rows, found.theta)
    change /= planets["transit_depth_error"].values
    kept = xr.Dataset(
        {
            "residual": (("planet", "wavelength"), found.residual),
            "slopes": (("planet", "wavelength", "target"), found.slopes),
            "theta": (("planet", "target"), found.theta),
            # Depths with collision-induced absorption less those without, in error bars.
            "cia_effect": (("planet", "wavelength"), -change if case.cia else change),
        },
        coords={"planet": planets["planet"], "wavelength": planets["wavelength"]},
    )
    with atomic_path(path) as temporary:
        kept.to_netcdf(temporary, engine="h5netcdf")


def finished(sets: Sets, name: str, which: str) -> xr.Dataset:
    """All finished parts of a case, in the planets' order."""
    parts = [sets.state / f"{which}_{name}_{part}.nc" for part in range(N_PARTS)]
    joined = xr.concat([open_dataset(path) for path in parts if path.is_file()], "planet")
    order = sets.means[which]["planet"].values
    return joined.sel(planet=order[np.isin(order, joined["planet"].values)])


def fitted(sets: Sets, name: str) -> Fitted:
    """A case's fits, ready for the report."""
    case = (CASES | CHECKS)[name]
    real, simulated = (finished(sets, name, which) for which in sets.means)
    means = sets.means["real"].sel(planet=real["planet"].values)
    planets = means.isel(wavelength=bins_used(case, means))
    return Fitted(case.label, real, simulated, planets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spectra", type=Path)
    parser.add_argument("ktables", type=Path)
    parser.add_argument("--calibration", type=int, default=600)
    parser.add_argument("--state", type=Path, default=ROOT / "results" / "trust_k_tables")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sets = prepared(arguments.spectra, arguments.ktables, arguments.calibration, arguments.state)
    halves = range(0, N_PARTS, 2), range(1, N_PARTS, 2)
    for names, parts in ((MAIN, halves[0]), (MAIN, halves[1]), (WITHOUT, range(N_PARTS))):
        for name in names:
            for which in sets.means:
                fit_case(sets, name, which, parts)
    report({name: fitted(sets, name) for name in (*MAIN, *WITHOUT)})


if __name__ == "__main__":
    main()
