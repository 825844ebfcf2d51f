"""Best fits of the real spectra of the 2022 challenge in the cells of photochem's k-tables.

``python benchmarks/k_table_spectra.py SPECTRA PUBLISHED KTABLES`` fits built-in, published and
k-table opacities to the same averages of bins, with and without collision-induced absorption, and
the k-tables' mean cross-sections, which hold no lines. It writes ``docs/k_table_spectra.csv`` and
draws the figures of ``docs/real_spectra.md``. SPECTRA is a folder in the challenge's layout,
PUBLISHED holds tables of H2O, CO2 and CH4, KTABLES photochem's folders ``kdistributions`` and
``CIA``. Planets are fitted in eight parts, every case before the next part; finished ones are kept
in ``results/k_table_spectra`` and not fitted again.

The k-tables' cells are wider than the challenge's bins between 1.95 and 3.15 um. Bins whose centres
lie in one cell are averaged; all other bins stay what they are. The average is one matrix, applied
to the data and to each model's 52 bins alike, so that no opacity is favoured by it.
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
from arielflow.core.schema import is_usable, open_dataset
from arielflow.data.ingest import ingest
from arielflow.editions import get_edition
from arielflow.physics.binning import cells_as_bins
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.cia import load_cia
from arielflow.physics.forward import ForwardModel
from arielflow.physics.opacity import OpacityTable, projection
from arielflow.physics.opacity_cache import load_covering
from arielflow.physics.systems import Systems
from arielflow.physics.transmission import TransmissionModel
from arielflow.plotting import residual_distributions, residuals_by_wavelength
from arielflow.retrieval.best_fit import maximum_a_posteriori
from arielflow.settings.best_fit import FitSettings

ROOT = Path(__file__).parents[1]
RESULTS, FIGURES = ROOT / "results" / "k_table_spectra", ROOT / "docs" / "figures"
FIVE, THREE = ("H2O", "CO2", "CH4", "CO", "NH3"), ("H2O", "CO2", "CH4")
SEED = 2026
SILENCE = 1e6
N_PARTS = 8
HOTTEST_K = 2000.0
WARMEST_OF_EQUILIBRIUM = 1.1
"""The challenge drew temperatures up to this many times the equilibrium temperature."""


@dataclass(frozen=True)
class Case:
    """One set of fits: whose tables, which molecules, with collision-induced absorption or not.

    Bins between ``without_um`` are left out.
    """

    label: str
    source: str
    molecules: tuple[str, ...]
    cia: bool
    without_um: tuple[float, float] = (0.0, 0.0)


CASES = {
    f"{source}_{len(molecules)}{'_cia' if cia else ''}": Case(
        f"{words}, {len(molecules)} molecules{', CIA' if cia else ''}", source, molecules, cia
    )
    for cia in (False, True)
    for source, words, molecules in (
        ("builtin", "built-in", FIVE),
        ("ktable", "k-tables", FIVE),
        ("mean", "k-tables' means", FIVE),
        ("builtin", "built-in", THREE),
        ("published", "published", THREE),
        ("ktable", "k-tables", THREE),
    )
}
# Without bins of the smallest errors that straddle cells of their width: every eighth planet.
CHECKS = {
    f"{name}_without": replace(
        CASES[name], label=f"{CASES[name].label}, without 1.1-1.95 um", without_um=(1.1, 1.95)
    )
    for name in ("builtin_5_cia", "mean_5_cia", "ktable_5_cia")
}
SHOWN = ("builtin_5", "builtin_5_cia", "mean_5_cia", "ktable_5_cia")


def averaging(planets: xr.Dataset, table: OpacityTable) -> np.ndarray:
    """Matrix (cell, bin): inverse-variance mean of the bins whose centres lie in one cell.

    The weights are the medians over the planets, so that every planet and model has the same ones.
    Each bin goes into one mean: their errors stay independent.
    """
    centre_um, width_um = cells_as_bins(table.wavenumber_cm1, table.cell_bounds_cm1)
    cell = np.searchsorted(centre_um - 0.5 * width_um, planets["wavelength"].values)
    weight = 1 / np.nanmedian(planets["transit_depth_error"].values, axis=0) ** 2
    members = (cell == np.unique(cell)[:, None]) * weight
    return members / members.sum(axis=1, keepdims=True)


def averaged(planets: xr.Dataset, matrix: np.ndarray) -> xr.Dataset:
    """The planets with means of bins, and the means' errors, in place of the bins."""
    low = planets["wavelength"].values - 0.5 * planets["wavelength_width"].values
    high = planets["wavelength"].values + 0.5 * planets["wavelength_width"].values
    low = np.array([low[row > 0].min() for row in matrix])
    high = np.array([high[row > 0].max() for row in matrix])
    depth, error = planets["transit_depth"], planets["transit_depth_error"]
    new = {
        "transit_depth": (depth.dims, depth.values @ matrix.T, depth.attrs),
        "transit_depth_error": (
            error.dims,
            np.sqrt(error.values**2 @ (matrix**2).T),
            error.attrs,
        ),
        "wavelength_width": ("wavelength", high - low, planets["wavelength_width"].attrs),
    }
    coordinate = ("wavelength", 0.5 * (low + high), planets["wavelength"].attrs)
    return planets.drop_dims("wavelength").assign(new).assign_coords(wavelength=coordinate)


def model(
    case: Case, planets: xr.Dataset, matrix: np.ndarray, folders: dict[str, Path]
) -> TransmissionModel:
    """The forward model of the means of the 52 bins."""
    tables = tables_of(case, planets, folders)
    to_bins = projection(tables[case.molecules[0]], *bins_of(planets))
    cia = load_cia(folders["cia"]) if case.cia else ()
    return TransmissionModel(tables, matrix @ to_bins, cia=cia)


def tables_of(case: Case, planets: xr.Dataset, folders: dict[str, Path]) -> dict[str, OpacityTable]:
    """Tables of a case's molecules; all of them have to cover all bins, not all temperatures."""
    tables, covered = load_covering(folders[case.source], case.molecules, *bins_of(planets))
    if not covered.all():
        raise SystemExit(f"{folders[case.source]}: {np.sum(~covered)} of the bins are not covered")
    return without_lines(tables) if case.source == "mean" else tables


def without_lines(tables: dict[str, OpacityTable]) -> dict[str, OpacityTable]:
    """Every cell's mean in place of its distribution of k: what smooth bands would know of it."""
    return {
        name: replace(
            table,
            cross_section_cm2=np.asarray(table.cross_section_cm2) @ table.quadrature_weights,
            quadrature_weights=None,
        )
        for name, table in tables.items()
    }


def bins_of(planets: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Centres and full widths of the bins [um]."""
    return planets["wavelength"].values, planets["wavelength_width"].values


def bins_used(case: Case, means: xr.Dataset) -> np.ndarray:
    """Boolean (wavelength,): the means that are fitted."""
    low, high = case.without_um
    return (means["wavelength"].values < low) | (means["wavelength"].values > high)


def selected(case: Case, means: xr.Dataset) -> xr.Dataset:
    """The planets and targets of a case; means that are left out get errors that silence them."""
    wanted = np.isin(means["target_quantity"].values, ["planet_temperature", *case.molecules])
    means = means.isel(target=wanted).copy(deep=True)
    means["transit_depth_error"].values[:, ~bins_used(case, means)] *= SILENCE
    return means


def rms_sigma(case: Case, fits: xr.Dataset, means: xr.Dataset) -> np.ndarray:
    """Rms over the means that were fitted of (model - data) / error bar, shape (planet,)."""
    residual = (fits["fitted_depth"] - means["transit_depth"]) / means["transit_depth_error"]
    return np.sqrt((residual.values[:, bins_used(case, means)] ** 2).mean(axis=1))


def fit(name: str, part: int, means: xr.Dataset, transmission: TransmissionModel) -> None:
    """Fit one part of the planets, unless the fits are in ``results``."""
    path = RESULTS / f"{name}_{part}.nc"
    if path.is_file():
        return
    case = (CASES | CHECKS)[name]
    planets = selected(case, means).isel(planet=slice(part, None, N_PARTS))
    fits = maximum_a_posteriori(
        ForwardModel(transmission, planets), planets, seed=SEED, settings=FitSettings(n_starts=1)
    )
    with atomic_path(path) as temporary:
        fits.to_netcdf(temporary, engine="h5netcdf")
    print(f"{case.label}, part {part}: {fits.attrs['seconds']:.0f} s", flush=True)


def finished_parts() -> list[int]:
    """The parts that every case has been fitted to."""
    return [
        part
        for part in range(N_PARTS)
        if all((RESULTS / f"{name}_{part}.nc").is_file() for name in CASES)
    ]


def fitted(name: str, parts: list[int], means: xr.Dataset) -> xr.Dataset:
    """All finished fits of a case, in the order of ``means``."""
    fits = [open_dataset(RESULTS / f"{name}_{part}.nc") for part in parts]
    joined = xr.concat(fits, "planet").sel(planet=means["planet"].values)
    return joined.assign_attrs(seconds=sum(part.attrs["seconds"] for part in fits))


def cell_error(
    planets: xr.Dataset,
    means: xr.Dataset,
    fits: xr.Dataset,
    matrix: np.ndarray,
    folders: dict[str, Path],
) -> np.ndarray:
    """What coarse cells alone do to the built-in spectra, in error bars, shape (planet, cell).

    The fitted built-in spectra are averaged over the k-tables' cells first, then as always.
    """
    case, bins = CASES["builtin_5"], bins_of(planets)
    fine = tables_of(case, planets, folders)
    cells = tables_of(CASES["ktable_5"], planets, folders)["H2O"]
    centre_um, width_um = cells_as_bins(cells.wavenumber_cm1, cells.cell_bounds_cm1)
    # The outermost cells reach beyond the bins, and beyond the built-in tables.
    low = np.maximum(centre_um - 0.5 * width_um, (bins[0] - 0.5 * bins[1]).min())
    high = np.minimum(centre_um + 0.5 * width_um, (bins[0] + 0.5 * bins[1]).max())
    kept = high > low
    clipped = 0.5 * (low + high)[kept], (high - low)[kept]
    through_cells = projection(cells, *bins)[:, ::-1][:, kept] @ projection(fine["H2O"], *clipped)
    usable = np.flatnonzero(is_usable(means))
    found = np.full(fits["fitted_depth"].shape, np.nan)
    coarse = ForwardModel(TransmissionModel(fine, matrix @ through_cells), selected(case, means))
    found[usable] = coarse.spectra(usable, fits["theta"].values[usable])
    return (found - fits["fitted_depth"].values) / means["transit_depth_error"].values


def drawn_below(means: xr.Dataset) -> np.ndarray:
    """Boolean (planet,): planets that the challenge drew below the k-tables' last temperature."""
    equilibrium_k = Systems.of(means).equilibrium_temperature_k
    return WARMEST_OF_EQUILIBRIUM * equilibrium_k <= HOTTEST_K


def summary(case: Case, fits: xr.Dataset, means: xr.Dataset) -> dict[str, object]:
    """One line of the table."""
    rms, below = rms_sigma(case, fits, means), drawn_below(means)
    known = np.isfinite(rms)
    row: dict[str, object] = {"fits": case.label, "planets": int(known.sum())}
    row["converged"] = int(fits["converged"].sum())
    for quantile in (0.5, 0.16, 0.84, 0.95):
        row[f"rms_sigma_{100 * quantile:g}_percent"] = np.quantile(rms[known], quantile)
    row["share_below_1_sigma"] = np.mean(rms[known] < 1)
    temperature = fits["theta"].values[known, 0]
    row["fitted_above_2000_k"] = int(np.sum(temperature > HOTTEST_K))
    row["planets_drawn_below_2000_k"] = int(np.sum(known & below))
    row["rms_sigma_50_percent_of_these"] = np.median(rms[known & below])
    row["share_below_1_sigma_of_these"] = np.mean(rms[known & below] < 1)
    for target in get_edition("adc2022").targets:
        if target.name in fits["target"].values[1:]:
            found = fits["theta"].sel(target=target.name).values[known]
            above = found > target.priors["matched"].high
            row[f"share_{target.quantity}_above_population"] = np.mean(above)
    return row | {"seconds": fits.attrs["seconds"]}


def report(
    planets: xr.Dataset, means: xr.Dataset, matrix: np.ndarray, folders: dict[str, Path]
) -> None:
    """Table and figures of the parts that are finished."""
    parts = finished_parts()
    chosen = np.isin(np.arange(means.sizes["planet"]) % N_PARTS, parts)
    means = means.isel(planet=chosen)
    fits = {name: fitted(name, parts, means) for name in CASES}
    rows = [summary(CASES[name], fit, means) for name, fit in fits.items()]
    eighth = means.isel(planet=slice(0, None, len(parts)))
    for name, case in CHECKS.items():
        rows.append(summary(case, fitted(name, [0], eighth), eighth))
        same = CASES[name.removesuffix("_without")]
        label = f"{same.label}, over the same bins of the same planets"
        same = replace(same, label=label, without_um=case.without_um)
        rows.append(summary(same, fitted(name.removesuffix("_without"), [0], eighth), eighth))
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / "docs" / "k_table_spectra.csv", index=False, float_format="%.4g")
    print(table.T.to_string(header=False))
    moved = cell_error(planets, means, fits["builtin_5"], matrix, folders)
    rms = np.sqrt((moved**2).mean(axis=1))
    print(f"coarse cells alone: {np.nanquantile(rms, [0.5, 0.16, 0.84]).round(2)} error bars;")
    by_cell = np.sqrt(np.nanmedian(moved**2, axis=0))
    for wavelength_um, value in zip(means["wavelength"].values, by_cell, strict=True):
        print(f"  {wavelength_um:.3f} um: {value:.2f}")
    shown = {CASES[name].label: fits[name] for name in SHOWN}
    depth = means["transit_depth"].values
    rms_by_label = {label: fit["residual_rms_sigma"].values for label, fit in shown.items()}
    residual = {label: fit["fitted_depth"].values - depth for label, fit in shown.items()}
    figures = {
        "rms": residual_distributions(rms_by_label),
        "wavelength": residuals_by_wavelength(
            means["wavelength"].values, residual, means["transit_depth_error"].values
        ),
    }
    for name, figure in figures.items():
        figure.savefig(FIGURES / f"k_table_spectra_{name}.png", dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spectra", type=Path)
    parser.add_argument("published", type=Path)
    parser.add_argument("ktables", type=Path)
    parser.add_argument("--parts", type=int, default=N_PARTS, help="fit no more than these parts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    planets, _, _ = ingest(arguments.spectra, get_edition("adc2022"), "test")
    folders = {
        "builtin": ensure_builtin_opacities(RESULTS / "opacities"),
        "published": arguments.published,
        "ktable": arguments.ktables / "kdistributions",
        "mean": arguments.ktables / "kdistributions",
        "cia": arguments.ktables / "CIA",
    }
    cells = tables_of(CASES["ktable_5"], planets, folders)["H2O"]
    matrix = averaging(planets, cells)
    means = averaged(planets, matrix)
    models = {name: model(case, planets, matrix, folders) for name, case in CASES.items()}
    for part in range(arguments.parts):
        for name in CASES:
            fit(name, part, means, models[name])
    for name, case in CHECKS.items():
        fit(name, 0, means, model(case, planets, matrix, folders))
    if finished_parts():
        report(planets, means, matrix, folders)


if __name__ == "__main__":
    main()
