"""Best fits of the real spectra of the 2022 challenge, with built-in and with published opacities.

``python benchmarks/real_spectra.py SPECTRA PUBLISHED`` fits every case, writes one line per case to
``docs/real_spectra.csv`` and draws the figures of ``docs/real_spectra.md``. SPECTRA is a folder in
the challenge's layout, PUBLISHED one with tables of H2O, CO2 and CH4. Finished cases are kept in
``results/real_spectra`` and not fitted again.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from arielflow.core.files import atomic_path
from arielflow.core.schema import open_dataset
from arielflow.data.ingest import ingest
from arielflow.editions import get_edition
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import (
    ForwardModel,
    PhysicsSettings,
    fast_or_reference,
    fingerprint,
    transmission_model,
)
from arielflow.physics.node_selection import build_nodes
from arielflow.physics.nodes import write_nodes
from arielflow.plotting import fitted_spectra, residual_distributions, residuals_by_wavelength
from arielflow.retrieval.best_fit import maximum_a_posteriori
from arielflow.settings.best_fit import FitSettings

ROOT = Path(__file__).parents[1]
RESULTS, FIGURES = ROOT / "results" / "real_spectra", ROOT / "docs" / "figures"
FIVE, THREE = ("H2O", "CO2", "CH4", "CO", "NH3"), ("H2O", "CO2", "CH4")
SEED = 2026
SILENCE = 1e6
EXAMPLE_QUANTILES = (0.05, 0.35, 0.65, 0.95)


@dataclass(frozen=True)
class Case:
    """One set of fits: tables, molecules, starts, how free the radius, which planets and bins."""

    label: str
    published: bool
    molecules: tuple[str, ...]
    n_starts: int = 1
    radius_tolerance: float = 0.0
    every: int = 1
    without_um: tuple[float, float] | None = None


MAIN = {
    "builtin_5": Case("built-in, 5 molecules", False, FIVE),
    "builtin_3": Case("built-in, 3 molecules", False, THREE),
    "published_3": Case("published, 3 molecules", True, THREE),
}
CHECKS = {
    f"{name}_{check}": replace(MAIN[name], label=f"{MAIN[name].label}, {words}", every=8, **changes)
    for check, words, names, changes in (
        ("radius", "radius free", list(MAIN), {"radius_tolerance": 0.05, "n_starts": 4}),
        ("without", "without 1.5-2.1 um", ["builtin_3", "published_3"], {"without_um": (1.5, 2.1)}),
    )
    for name in names
}
CASES = MAIN | CHECKS


def bins_used(case: Case, planets: xr.Dataset) -> np.ndarray:
    """Boolean (wavelength,): the bins that are fitted."""
    low, high = case.without_um or (0.0, 0.0)
    wavelength_um = planets["wavelength"].values
    return (wavelength_um < low) | (wavelength_um > high)


def selected(case: Case, planets: xr.Dataset) -> xr.Dataset:
    """The planets and targets of a case; bins that are left out get errors that silence them."""
    wanted = np.isin(planets["target_quantity"].values, ["planet_temperature", *case.molecules])
    planets = planets.isel(target=wanted, planet=slice(None, None, case.every)).copy(deep=True)
    planets["transit_depth_error"].values[:, ~bins_used(case, planets)] *= SILENCE
    return planets


def with_nodes(case: Case, physics: PhysicsSettings, planets: xr.Dataset) -> PhysicsSettings:
    """The fast mode, which the published tables, of three times as many wavelengths, pay for."""
    bins = planets["wavelength"].values, planets["wavelength_width"].values
    made_for = fingerprint(case.molecules, physics, *bins)
    path = RESULTS / f"nodes_{made_for[:12]}.npz"
    if not path.is_file():
        reference = transmission_model(case.molecules, physics, *bins)
        write_nodes(build_nodes(reference, made_for), path)
    return replace(physics, nodes=str(path))


def fit(name: str, planets: xr.Dataset, folders: dict[bool, Path]) -> xr.Dataset:
    """The fits of one case, from ``results`` if they are there."""
    case, path = CASES[name], RESULTS / f"{name}.nc"
    planets = selected(case, planets)
    bins = planets["wavelength"].values, planets["wavelength_width"].values
    physics = PhysicsSettings(str(folders[case.published]))
    if not path.is_file():
        mode = with_nodes(case, physics, planets) if case.published else physics
        fits = maximum_a_posteriori(
            ForwardModel(fast_or_reference(case.molecules, mode, *bins), planets),
            planets,
            seed=SEED,
            settings=FitSettings(n_starts=case.n_starts, radius_tolerance=case.radius_tolerance),
            progress=lambda step, left: print(
                f"{case.label}: step {step}, {left} left", flush=True
            ),
        )
        with atomic_path(path) as temporary:
            fits.to_netcdf(temporary, engine="h5netcdf")
    fits = open_dataset(path)
    if case.published:
        reference = transmission_model(case.molecules, physics, *bins)
        fits = at_reference(fits, ForwardModel(reference, planets))
    used = bins_used(case, planets)
    residual = (fits["fitted_depth"] - planets["transit_depth"]) / planets["transit_depth_error"]
    rms = np.sqrt((residual.values[:, used] ** 2).mean(axis=1))
    return fits.assign(residual_rms_sigma=("planet", rms))


def at_reference(fits: xr.Dataset, forward: ForwardModel) -> xr.Dataset:
    """The same parameters' spectra in the reference mode, free of the fast mode's error."""
    parameters = (torch.as_tensor(fits[name].values) for name in ("theta", "radius_factor"))
    with torch.no_grad():
        depth = forward.depths(np.arange(fits.sizes["planet"]), *parameters).numpy()
    moved = 1e6 * np.abs(depth - fits["fitted_depth"].values)
    print(f"fast mode beside the reference: {np.nanmedian(moved):.2f} ppm in the median")
    return fits.assign(fitted_depth=(("planet", "wavelength"), depth))


def summary(name: str, fits: xr.Dataset) -> dict[str, object]:
    """One line of the table."""
    case, rms = CASES[name], fits["residual_rms_sigma"].dropna("planet").values
    row = {"fits": case.label, "planets": len(rms), "converged": int(fits["converged"].sum())}
    for quantile in (0.5, 0.16, 0.84, 0.95):
        row[f"rms_sigma_{100 * quantile:g}_percent"] = np.quantile(rms, quantile)
    row["share_below_1_sigma"] = np.mean(rms < 1)
    for target in get_edition("adc2022").targets:
        if target.quantity in THREE:
            found = fits["theta"].sel(target=target.name).dropna("planet").values
            above = found > target.priors["matched"].high
            row[f"share_{target.quantity}_above_population"] = np.mean(above)
    return row | {name: fits.attrs[name] for name in ("forward_calls", "seconds")}


def report(planets: xr.Dataset, fits: dict[str, xr.Dataset]) -> None:
    """Table and figures."""
    table = pd.DataFrame([summary(name, fit) for name, fit in fits.items()])
    table.to_csv(ROOT / "docs" / "real_spectra.csv", index=False, float_format="%.4g")
    print(table.T.to_string(header=False))
    shown = {CASES[name].label: fits[name] for name in MAIN}
    depth = planets["transit_depth"].values
    rms = {label: fit["residual_rms_sigma"] for label, fit in shown.items()}
    order = np.argsort(rms[CASES["builtin_5"].label].values)
    usable = int(rms[CASES["builtin_5"].label].notnull().sum())
    rows = order[[int(share * usable) for share in EXAMPLE_QUANTILES]]
    figures = {
        "rms": residual_distributions({label: values.values for label, values in rms.items()}),
        "wavelength": residuals_by_wavelength(
            planets["wavelength"].values,
            {label: fit["fitted_depth"].values - depth for label, fit in shown.items()},
            planets["transit_depth_error"].values,
        ),
        "examples": fitted_spectra(
            planets.isel(planet=rows),
            {label: fit.isel(planet=rows) for label, fit in shown.items()},
        ),
    }
    FIGURES.mkdir(exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(FIGURES / f"real_spectra_{name}.png", dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spectra", type=Path)
    parser.add_argument("published", type=Path)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    planets, _, _ = ingest(arguments.spectra, get_edition("adc2022"), "test")
    builtin = ensure_builtin_opacities(RESULTS / "opacities")
    folders = {False: builtin, True: arguments.published}
    fits = {name: fit(name, planets, folders) for name in arguments.cases}
    if set(fits) == set(CASES):
        report(planets, fits)


if __name__ == "__main__":
    main()
