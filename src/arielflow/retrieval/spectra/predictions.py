"""What a posterior of one spectrum predicts: depths, errors, likelihoods, temperature profiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from arielflow.core.readers import printable
from arielflow.physics.systems import (
    ATOMIC_MASS_UNIT_KG,
    BOLTZMANN_CONSTANT,
    GRAVITATIONAL_CONSTANT,
)
from arielflow.retrieval.spectra.methods import SpectrumResult

QUANTILES = {
    "low_95": 0.025,
    "low_68": 0.16,
    "median": 0.5,
    "high_68": 0.84,
    "high_95": 0.975,
}
PPM = 1e6
_PREDICTED = 1000
_DRAWN = 300
_PROFILES = 1000
# Cells of the drawn curve in the width of a median bin, and their resolving power's limits.
_FINER, _COARSEST, _FINEST = 4, 100.0, 2000.0
_GAP = 3.0
_PASCAL_PER_BAR = 1e5
_SEEN_PA = 100.0


@dataclass(frozen=True)
class Predictions:
    """What some of a posterior's samples predict for the points of the spectrum.

    Attributes
    ----------
    result : SpectrumResult
        The posterior.
    sampled : numpy.ndarray
        The samples (draw, parameter).
    depth : numpy.ndarray
        Transit depths (draw, point) with neither noise nor the instruments' offsets.
    offset : numpy.ndarray
        The offsets (draw, point).
    error_low, error_high : numpy.ndarray
        Errors (draw, point), inflated where parameters do so.
    residual : numpy.ndarray
        Model less data in these errors (draw, point).
    log_likelihood : numpy.ndarray
        Natural log-likelihoods (draw, point).
    """

    result: SpectrumResult
    sampled: np.ndarray
    depth: np.ndarray
    offset: np.ndarray
    error_low: np.ndarray
    error_high: np.ndarray
    residual: np.ndarray
    log_likelihood: np.ndarray

    @property
    def best(self) -> int:
        """The draw with the highest likelihood."""
        total = self.log_likelihood.sum(axis=1)
        return int(np.argmax(np.where(np.isfinite(total), total, -np.inf)))


@torch.no_grad()
def predict(result: SpectrumResult, n_draws: int = _PREDICTED) -> Predictions:
    """What the first samples, which are in random order, predict; a spectrum is computed for each.

    Parameters
    ----------
    result
        The posterior.
    n_draws
        At most so many samples.
    """
    model, spectrum = result.model, result.model.spectrum
    sampled = torch.as_tensor(result.samples[:n_draws])
    values = model.values(sampled)
    clear = model.depths(sampled, offsets=False)
    offset = torch.zeros_like(clear)
    for name in spectrum.instruments:
        if (own := values.get(f"offset[{name}]")) is not None:
            offset[:, torch.as_tensor(spectrum.instrument == name)] = own[:, None]
    low, high = (error.expand(clear.shape) for error in model.errors(values))
    depth = clear + offset
    return Predictions(
        result,
        *(part.numpy() for part in (sampled, clear, offset, low, high)),
        residual=model.residuals(sampled, depth)[0].numpy(),
        log_likelihood=model.log_likelihood_by_point(sampled, depth).numpy(),
    )


def quantile_columns(values: np.ndarray, factor: float = 1.0) -> dict[str, np.ndarray]:
    """Median and limits of the central 68 and 95 % of (draw, …), by name; NaN are left out."""
    found = np.nanquantile(values, list(QUANTILES.values()), axis=0) * factor
    return dict(zip(QUANTILES, found, strict=True))


def band(result: SpectrumResult, predictions: Predictions | None = None) -> pd.DataFrame:
    """The spectrum, its instruments' offsets taken out, beside the noise-free model.

    Returns
    -------
    pandas.DataFrame
        One row per point: ``wavelength_um``, ``width_um``, ``depth`` (as observed), ``error_low``,
        ``error_high`` (as stated), ``instrument``, ``offset`` (its median, to be taken from the
        depth), ``model_median`` and the limits of the model's central 68 and 95 %
        (``model_low_68``, …), without offsets, and ``residual_sigma``, data less the model's median
        in stated errors. Depths, errors and offsets are fractions.
    """
    predictions = predictions or predict(result)
    spectrum = result.model.spectrum
    offset = np.nanmedian(predictions.offset, axis=0)
    model = quantile_columns(predictions.depth)
    difference = spectrum.depth - offset - model["median"]
    # Where the model lies above the data, the upper error counts.
    error = np.where(difference < 0, spectrum.error_high, spectrum.error_low)
    return pd.DataFrame(
        {
            "wavelength_um": spectrum.wavelength_um,
            "width_um": spectrum.width_um,
            "depth": spectrum.depth,
            "error_low": spectrum.error_low,
            "error_high": spectrum.error_high,
            "instrument": [printable(str(name)) for name in spectrum.instrument],
            "offset": offset,
            **{f"model_{name}": values for name, values in model.items()},
            "residual_sigma": difference / error,
        }
    )


@torch.no_grad()
def curve(result: SpectrumResult, n_draws: int = _DRAWN) -> pd.DataFrame:
    """The noise-free model between the points, on the opacities' grid, averaged where that is fine.

    Returns
    -------
    pandas.DataFrame
        ``wavelength_um``, ascending, ``median``, ``low_68``, ``high_68``, ``low_95``, ``high_95``
        (fractions); a row of NaN in every gap without opacities.
    """
    model = result.model
    transmission, spectrum = model.physics.transmission, model.spectrum
    grid_um = 1e4 / np.asarray(transmission.wavenumber_cm1)
    resolving_power = np.median(spectrum.wavelength_um / spectrum.width_um) * _FINER
    resolving_power = float(np.clip(resolving_power, _COARSEST, _FINEST))
    order = np.argsort(grid_um)
    place = np.floor(np.log(grid_um[order]) * resolving_power)
    starts = np.flatnonzero(np.diff(place, prepend=-np.inf))
    count = np.diff(starts, append=len(order))
    wavelength_um = np.add.reduceat(grid_um[order], starts) / count
    sampled = torch.as_tensor(result.samples[:n_draws])
    depths = []
    for rows in sampled.split(transmission.batch_size):
        found = model.physics.depths(model.values(rows), native=True).cpu().numpy()
        depths.append(np.add.reduceat(found[:, order], starts, axis=1) / count)
    quantiles = pd.DataFrame({"wavelength_um": wavelength_um})
    quantiles = quantiles.assign(**quantile_columns(np.concatenate(depths)))
    return _with_gaps(quantiles)


def _with_gaps(drawn: pd.DataFrame) -> pd.DataFrame:
    """The same with a row of NaN wherever neighbours lie much farther apart than most."""
    step = np.diff(np.log(drawn["wavelength_um"]))
    gaps = np.flatnonzero(step > _GAP * np.median(step)) if len(step) else []
    middles = drawn["wavelength_um"].to_numpy()
    breaks = [{"wavelength_um": np.sqrt(middles[i] * middles[i + 1])} for i in gaps]
    joined = pd.concat([drawn, pd.DataFrame(breaks)]) if breaks else drawn
    return joined.sort_values("wavelength_um", ignore_index=True)


@torch.no_grad()
def temperature_profile(result: SpectrumResult) -> pd.DataFrame | None:
    """Temperatures by pressure: ``pressure_bar`` from the bottom up, and median and limits [K].

    None where the atmosphere is isothermal.
    """
    model = result.model
    if model.description.profile == "isothermal":
        return None
    pressure_pa = torch.as_tensor(model.physics.transmission.pressures.layers_pa)
    values = model.values(torch.as_tensor(result.samples[:_PROFILES]))
    temperature = model.physics.profile(values, pressure_pa).numpy()
    return pd.DataFrame(
        {"pressure_bar": pressure_pa.numpy() / _PASCAL_PER_BAR, **quantile_columns(temperature)}
    )


@torch.no_grad()
def derived(result: SpectrumResult) -> dict[tuple[str, str, str], np.ndarray]:
    """What follows from the samples (sample,), by name, unit and words."""
    model, transmission = result.model, result.model.physics.transmission
    planets = model.physics.planets(model.values(torch.as_tensor(result.samples)))
    planets = planets.aligned(transmission.pressures.n_layers)
    layer = int(np.argmin(np.abs(np.log(transmission.pressures.layers_pa / _SEEN_PA))))
    seen_bar = transmission.pressures.layers_pa[layer] / _PASCAL_PER_BAR
    temperature, mass = planets.temperature_k, transmission.mean_mass_kg(planets)
    temperature = temperature[:, layer] if temperature.ndim == 2 else temperature
    mass = mass[:, min(layer, mass.shape[1] - 1)] if mass.ndim == 2 else mass
    gravity = GRAVITATIONAL_CONSTANT * planets.mass_kg / planets.radius_m**2
    height = BOLTZMANN_CONSTANT * temperature / (mass * gravity)
    where = f"at {seen_bar:.2g} bar"
    found = {
        ("gravity", "m/s2", "gravity at the planet's radius"): gravity,
        ("mean_molecular_weight", "u", f"mean molecular weight {where}"): (
            mass / ATOMIC_MASS_UNIT_KG
        ),
        ("scale_height", "km", f"scale height {where}, with that gravity"): height / 1000,
    }
    if model.description.profile != "isothermal":
        found["temperature_seen", "K", f"temperature {where}"] = temperature
    return {key: value.cpu().numpy() for key, value in found.items()}


@torch.no_grad()
def beyond_tables(result: SpectrumResult) -> float:
    """Share of the samples with temperatures that a table of opacities does not have."""
    model = result.model
    cold, hot = model.physics.transmission.temperature_range_k
    values = model.values(torch.as_tensor(result.samples[:_PROFILES]))
    pressure_pa = torch.as_tensor(model.physics.transmission.pressures.layers_pa)
    temperature = model.physics.profile(values, pressure_pa).reshape(len(values["star_radius"]), -1)
    return float(((temperature < cold) | (temperature > hot)).any(dim=1).double().mean())
