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
from arielflow.evaluation.trust.residuals import Refit, refit
from arielflow.models.features import noisy_copies
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.best_fit import maximum_a_posteriori
from arielflow.settings.best_fit import FitSettings

ROOT = Path(__file__).parents[1]
MAIN = ("builtin_5", "builtin_5_cia", "ktable_5", "ktable_5_cia")
ADDED, RAYLEIGH_SLOPE = 0.1, -4.0
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

    def path(self, which: str, name: str, part: int) -> Path:
        """Where the fits of one part of a set are kept."""
        return self.state / f"{which}_{name}_{part}.nc"

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


def search(sets: Sets, name: str, part: int) -> None:
    """Look for the best fits of one part of the real planets, from scratch."""
    path = sets.path("search", name, part)
    if path.is_file():
        return
    transmission = sets.transmission(CASES[name])
    planets = sets.planets(CASES[name], "real", transmission)
    planets = planets.isel(planet=slice(part, None, N_PARTS))
    forward = ForwardModel(transmission, planets)
    found = maximum_a_posteriori(forward, planets, seed=SEED, settings=FitSettings(n_starts=1))
    keep(found[["theta"]], path)
    print(f"{CASES[name].label}, search, part {part}", flush=True)


def starts(sets: Sets, name: str, which: str, part: int, planets: xr.Dataset) -> list[np.ndarray]:
    """Where the fits of one part start; the best end of each planet is kept.

    Simulated planets start from the truth. Real ones start from what their own search found and
    from what that by the best opacities did, so that few stay in local minima.
    """
    if which == "simulated":
        return [planets["theta"].values]
    if name in WITHOUT:
        path = sets.path("real", name.removesuffix("_without"), part)
        return [open_dataset(path)["theta"].values]
    other = "ktable_5_cia" if name != "ktable_5_cia" else "ktable_5"
    return [open_dataset(sets.path("search", own, part))["theta"].values for own in (name, other)]


def fit_case(sets: Sets, name: str, which: str, parts: Sequence[int]) -> None:
    """Fit some parts of the planets, unless that has been done."""
    paths = {part: sets.path(which, name, part) for part in parts}
    missing = {part: path for part, path in paths.items() if not path.is_file()}
    if not missing:
        return
    case = (CASES | CHECKS)[name]
    transmission = sets.transmission(case)
    twin = sets.transmission(replace(case, cia=not case.cia))
    planets = sets.planets(case, which, transmission)
    for part, path in missing.items():
        own = planets.isel(planet=slice(part, None, N_PARTS))
        forward = ForwardModel(transmission, own)
        ends = [refit(forward, own, at) for at in starts(sets, name, which, part, own)]
        keep(described(case, best_of(ends), forward, ForwardModel(twin, own), own), path)
        print(f"{case.label}, {which}, part {part}", flush=True)


def best_of(ends: Sequence[Refit]) -> Refit:
    """Of several fits of the same planets the one of least chi2, planet by planet."""
    chosen = np.argmin([np.where(np.isfinite(end.chi2), end.chi2, np.inf) for end in ends], axis=0)
    rows = np.arange(len(chosen))
    arrays = ("residual", "slopes", "theta")
    return Refit(*(np.stack([getattr(end, a) for end in ends])[chosen, rows] for a in arrays))


def described(
    case: Case, found: Refit, forward: ForwardModel, twin: ForwardModel, planets: xr.Dataset
) -> xr.Dataset:
    """Fits to be kept; the twin model differs by collision-induced absorption alone."""
    rows = np.arange(planets.sizes["planet"])
    error, fit = planets["transit_depth_error"].values, forward.spectra(rows, found.theta)
    change = (twin.spectra(rows, found.theta) - fit) / error
    return xr.Dataset(
        {
            "residual": (("planet", "wavelength"), found.residual),
            "slopes": (("planet", "wavelength", "target"), found.slopes),
            "theta": (("planet", "target"), found.theta),
            # Depths with collision-induced absorption less those without, in error bars.
            "cia_effect": (("planet", "wavelength"), -change if case.cia else change),
            # In error bars per dex of Rayleigh scattering.
            "scattering_effect": (
                ("planet", "wavelength"),
                (more_scattering(forward, found.theta) - fit) / error / np.log10(1 + ADDED),
            ),
        },
        coords={"planet": planets["planet"], "wavelength": planets["wavelength"]},
    )


def more_scattering(forward: ForwardModel, theta: np.ndarray) -> np.ndarray:
    """Depths with somewhat more Rayleigh scattering, as a haze of its slope."""
    air = forward.atmospheres(np.arange(len(theta)), torch.as_tensor(theta))
    strength = torch.full_like(air.radius_m, np.log10(ADDED))
    slope = torch.full_like(strength, RAYLEIGH_SLOPE)
    air = replace(air, haze_log_strength=strength, haze_slope=slope)
    with torch.no_grad():
        depths: np.ndarray = forward.transmission(air).cpu().numpy()
    return depths


def keep(found: xr.Dataset, path: Path) -> None:
    """Write fits to the state's folder."""
    with atomic_path(path) as temporary:
        found.to_netcdf(temporary, engine="h5netcdf")


def finished(sets: Sets, name: str, which: str) -> xr.Dataset:
    """All finished parts of a case, in the planets' order."""
    parts = [sets.path(which, name, part) for part in range(N_PARTS)]
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


def asked(description: str) -> argparse.Namespace:
    """The command line's arguments."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("spectra", type=Path)
    parser.add_argument("ktables", type=Path)
    parser.add_argument("--calibration", type=int, default=1000)
    parser.add_argument("--state", type=Path, default=ROOT / "results" / "trust_k_tables")
    return parser.parse_args()


def main() -> None:
    arguments = asked(__doc__)
    torch.set_num_threads(1)
    sets = prepared(arguments.spectra, arguments.ktables, arguments.calibration, arguments.state)
    for part in range(N_PARTS):
        for name in MAIN:
            search(sets, name, part)
    for name in (*MAIN, *WITHOUT):
        for which in sets.means:
            fit_case(sets, name, which, range(N_PARTS))
    report({name: fitted(sets, name) for name in (*MAIN, *WITHOUT)})


if __name__ == "__main__":
    main()
