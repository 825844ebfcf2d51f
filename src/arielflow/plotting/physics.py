"""Figures of the forward model: its opacities, and its best fits to spectra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from arielflow.plotting.style import (
    INK,
    MUTED,
    PPM,
    colour,
    depth_unit,
    grid_of_panels,
    label_outer,
    styled,
    wavelength_axis,
)

_RMS_RANGE_SIGMA = (0.3, 30.0)
_FAINTEST_DEX = 8.0


@styled
def opacity_comparison(
    wavelength_um: np.ndarray,
    means: Mapping[str, Mapping[str, np.ndarray]],
    pressure_pa: Sequence[float],
) -> Figure:
    """Cross-sections of several sources over wavelength: rows by molecule, columns by pressure.

    Parameters
    ----------
    wavelength_um
        Bin centres, shape (wavelength,) [um].
    means
        By molecule and by source (at most two; the first is drawn with a line), mean
        cross-sections in the bins, shape (pressure, wavelength) [cm2].
    pressure_pa
        Pressures [Pa].
    """
    figure = Figure(figsize=(2.35 * len(pressure_pa) + 0.6, 1.75 * len(means) + 0.5),
                    layout="constrained")  # fmt: skip
    panels = figure.subplots(len(means), len(pressure_pa), squeeze=False, sharex=True, sharey="row")
    for row, (molecule, sources) in zip(panels, means.items(), strict=True):
        top = max(values.max() for values in sources.values())
        for column, axes in enumerate(row):
            for index, (source, values) in enumerate(sources.items()):
                style = {"marker": "o", "markersize": 2.2, "linewidth": (1.3, 0.7)[index]}
                axes.plot(wavelength_um, values[column], color=colour(index), label=source, **style)
            axes.set_yscale("log")
            axes.set_ylim(top / 10**_FAINTEST_DEX, 5 * top)
            wavelength_axis(axes, wavelength_um)
            exponent = round(np.log10(pressure_pa[column]))
            axes.set_title(rf"{molecule}, $10^{{{exponent}}}$ Pa")
            axes.set_ylabel(r"cross-section [cm$^2$]")
    label_outer(list(panels.ravel()), columns=len(pressure_pa))
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(handles))
    return figure


@styled
def band_differences(
    cells_um: Mapping[str, np.ndarray],
    difference_dex: Mapping[str, Mapping[str, np.ndarray]],
    tolerance_dex: float,
) -> Figure:
    """How far mean cross-sections are from a reference's, cell by cell: a row per molecule.

    Parameters
    ----------
    cells_um
        Shortest and longest wavelength of every cell, shape (cell, 2), by molecule [um].
    difference_dex
        log10 of the ratio to the reference, shape (cell,), by molecule and by temperature; NaN
        where it is not told.
    tolerance_dex
        Half the height of the band that is drawn around zero.
    """
    figure = Figure(figsize=(8.2, 1.5 * len(cells_um) + 0.5), layout="constrained")
    panels = figure.subplots(len(cells_um), 1, squeeze=False, sharex=True)[:, 0]
    everything = np.concatenate(list(cells_um.values()))
    for axes, (molecule, cells) in zip(panels, cells_um.items(), strict=True):
        axes.axhspan(-tolerance_dex, tolerance_dex, color=MUTED, alpha=0.2, linewidth=0)
        for index, (label, values) in enumerate(difference_dex[molecule].items()):
            # As wide as its cell: neighbours on the axis need not be neighbours in wavelength.
            axes.hlines(values, *cells.T, color=colour(index), linewidth=1.8, label=label)
        axes.set_title(molecule)
        axes.set_ylabel("difference [dex]")
        wavelength_axis(axes, everything)
    label_outer(list(panels), columns=1)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(handles))
    return figure


@styled
def residual_distributions(rms_sigma: Mapping[str, np.ndarray]) -> Figure:
    """How many planets have which residual rms, in error bars, for every set of fits.

    Parameters
    ----------
    rms_sigma
        Rms over the wavelengths of each planet's residuals, by label; NaN are left out.
    """
    figure = Figure(figsize=(7.4, 3.2), layout="constrained")
    axes = figure.subplots()
    edges = np.geomspace(*_RMS_RANGE_SIGMA, 46)
    for index, (label, values) in enumerate(rms_sigma.items()):
        known = np.clip(values[np.isfinite(values)], *_RMS_RANGE_SIGMA)
        weights = np.full(len(known), 100 / len(known))
        for kind, alpha in (("stepfilled", 0.18), ("step", 1.0)):
            axes.hist(known, edges, weights=weights, histtype=kind, color=colour(index),
                      alpha=alpha)  # fmt: skip
        median = np.median(known)
        axes.axvline(median, color=colour(index), linestyle="--", linewidth=1.0)
        axes.plot([], [], color=colour(index), linewidth=4, label=f"{label}, median {median:.2f}")
    axes.axvline(1, color=INK, linewidth=0.8)
    axes.set_xscale("log")
    axes.set(xlabel="rms of the residuals [error bars]", ylabel="planets [%]")
    axes.set_xticks([0.3, 1, 3, 10, 30], ["0.3", "1", "3", "10", "30"])
    figure.legend(loc="outside upper center", ncols=len(rms_sigma) if len(rms_sigma) < 4 else 2)
    return figure


@styled
def residuals_by_wavelength(
    wavelength_um: np.ndarray,
    residual: Mapping[str, np.ndarray],
    error: np.ndarray,
) -> Figure:
    """Median residual of every bin over the planets, and the middle 68 %, in error bars and ppm.

    Parameters
    ----------
    wavelength_um
        Bin centres, shape (wavelength,) [um].
    residual
        Model less data, shape (planet, wavelength), dimensionless, by label.
    error
        Error bars, shape (planet, wavelength), dimensionless.
    """
    figure = Figure(figsize=(8.2, 2.0 * len(residual) + 0.5), layout="constrained")
    panels = figure.subplots(len(residual), 2, squeeze=False, sharex=True, sharey="col")
    for index, (row, (label, values)) in enumerate(zip(panels, residual.items(), strict=True)):
        for axes, scaled, unit in (
            (row[0], values / error, "error bars"),
            (row[1], PPM * values, "ppm"),
        ):
            low, median, high = np.nanquantile(scaled, [0.16, 0.5, 0.84], axis=0)
            axes.axhline(0, color=MUTED, linewidth=0.7)
            axes.fill_between(
                wavelength_um, low, high, color=colour(index), alpha=0.22, linewidth=0
            )
            axes.plot(wavelength_um, median, "o-", color=colour(index), markersize=2.4)
            axes.set_title(label)
            axes.set_ylabel(f"model - data [{unit}]")
            wavelength_axis(axes, wavelength_um)
            if axes not in panels[-1]:
                axes.set_xlabel("")
    return figure


@styled
def fitted_spectra(planets: xr.Dataset, fits: Mapping[str, xr.Dataset]) -> Figure:
    """Spectra with error bars under their best fits, residuals below, one column per planet.

    A planet's title gives the rms of its residuals in error bars, in the order of the fits.

    Parameters
    ----------
    planets
        Planets dataset of the planets to show.
    fits
        Datasets of :func:`arielflow.retrieval.best_fit.maximum_a_posteriori` by label,
        of the same planets.
    """
    n_planets, wavelength_um = planets.sizes["planet"], planets["wavelength"].values
    figure, panels = grid_of_panels(
        2 * n_planets, n_planets, (2.75, 1.7), sharex=True, height_ratios=(1.5, 1)
    )
    for index, (spectrum, below) in enumerate(
        zip(panels[:n_planets], panels[n_planets:], strict=True)
    ):
        depth = planets["transit_depth"].values[index]
        error = planets["transit_depth_error"].values[index]
        factor, unit = depth_unit(depth)
        spectrum.errorbar(
            wavelength_um, factor * depth, factor * error, fmt="o", color=INK, markersize=2,
            linewidth=0.8, label="data",
        )  # fmt: skip
        for number, (label, fit) in enumerate(fits.items()):
            fitted = fit["fitted_depth"].values[index]
            _line(spectrum, wavelength_um, factor * fitted, number, label)
            _line(below, wavelength_um, (fitted - depth) / error, number)
        below.axhspan(-1, 1, color=MUTED, alpha=0.2, linewidth=0)
        rms = ", ".join(f"{float(fit['residual_rms_sigma'][index]):.1f}" for fit in fits.values())
        spectrum.set_title(f"planet {planets['planet'].values[index]}: rms {rms}")
        spectrum.set_ylabel(f"transit depth [{unit}]")
        below.set_ylabel("residual [error bars]" if index == 0 else "")
        wavelength_axis(below, wavelength_um)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(fits) + 1
    )
    return figure


@styled
def predicted_spectrum(
    planet: xr.Dataset, predicted: Mapping[str, np.ndarray], noise: np.ndarray
) -> Figure:
    """One planet's spectrum over the spectra that posteriors predict, and the residuals below.

    The dark band holds 68 % of the posterior's spectra, the light one 95 % of the spectra that it
    predicts with noise. Residuals are data less the median spectrum.

    Parameters
    ----------
    planet
        Planets dataset of this planet alone.
    predicted
        Spectra of a posterior's draws, shape (draw, wavelength), by its name.
    noise
        Standard normal numbers, shape (draw, wavelength), for the predicted noise.
    """
    wavelength_um = planet["wavelength"].values
    depth, error = (planet[name].values[0] for name in ("transit_depth", "transit_depth_error"))
    factor, unit = depth_unit(depth)
    figure = Figure(figsize=(7.0, 4.6), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    for number, (name, spectra) in enumerate(predicted.items()):
        shade = {"color": colour(number), "linewidth": 0}
        with_noise = spectra + noise[: len(spectra)] * error
        for values, share, alpha, band in (
            (with_noise, 0.95, 0.13, "95 % of spectra with noise"),
            (spectra, 0.68, 0.4, "68 % of spectra"),
        ):
            shade["label"] = f"{name}: {band}"
            edges = np.nanquantile(factor * values, [0.5 - share / 2, 0.5 + share / 2], axis=0)
            above.fill_between(wavelength_um, *edges, alpha=alpha, **shade)
        median = np.nanmedian(spectra, axis=0)
        _line(above, wavelength_um, factor * median, number, name)
        below.plot(wavelength_um, (depth - median) / error, "o", color=colour(number), markersize=3)
    above.errorbar(
        wavelength_um, factor * depth, factor * error, fmt="o", color=INK, markersize=2.5,
        linewidth=0.8, label="data",
    )  # fmt: skip
    below.axhspan(-1, 1, color=MUTED, alpha=0.2, linewidth=0)
    above.set_title(f"planet {planet['planet'].values[0]}".replace("$", r"\$"))
    above.set_ylabel(f"transit depth [{unit}]")
    below.set_ylabel("residual [error bars]")
    wavelength_axis(below, wavelength_um)
    above.legend()
    return figure


def _line(axes: Axes, x: np.ndarray, y: np.ndarray, index: int, label: str | None = None) -> None:
    axes.plot(x, y, color=colour(index), linewidth=1.1, label=label)
