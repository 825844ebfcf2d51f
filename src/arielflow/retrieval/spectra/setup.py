"""From a description, a spectrum and opacities to the model that is retrieved with.

What cannot be used is left out aloud: bins that a table does not cover, and more points than a
retrieval needs, which are averaged.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed
from arielflow.data.description.parameters import Parameter
from arielflow.data.description.read import Description
from arielflow.data.description.units import RJUP
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.physics.binning import binning_matrix
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.cia import load_cia
from arielflow.physics.equilibrium import make_grid
from arielflow.physics.opacity import OpacityTable
from arielflow.physics.opacity_cache import cache_folder, load_covering
from arielflow.physics.parametric import Chemistry, ParametricModel, TemperatureProfile
from arielflow.physics.transmission import TransmissionModel
from arielflow.retrieval.spectra.model import SpectrumModel
from arielflow.settings.equilibrium import EquilibriumSettings

MOST_POINTS = 400
"""Points above which a spectrum is averaged, unless it is asked not to be."""
BINNED_RESOLVING_POWER = 100.0
"""Resolving power that it is averaged to."""
FEWEST_POINTS = 3

_RADIUS_SHARES = (0.7, 1.1)
_TEMPERATURE_K = (300.0, 3000.0)


def prepared_model(
    description: Description,
    spectrum: ObservedSpectrum,
    *,
    opacities: str | None = None,
    resolving_power: float | None = None,
    dtype: torch.dtype = torch.float32,
) -> SpectrumModel:
    """The model of a spectrum, with what the description leaves open filled in.

    Parameters
    ----------
    description, spectrum
        What is retrieved from what.
    opacities
        ``builtin`` or a folder of tables, instead of the description's.
    resolving_power
        To average the points to. By default they stay as they are, unless there are more than
        ``MOST_POINTS``; infinite keeps them whatever their number.
    dtype
        Precision of the optical depths.

    Returns
    -------
    SpectrumModel
        Its description's and spectrum's ``notes`` tell what was filled in, averaged and left out.

    Raises
    ------
    ArielflowError
        The spectrum is of an eclipse, its instruments are not the description's, a gas has no
        table, or no bin is covered.
    """
    if spectrum.kind != "transit":
        raise ArielflowError(
            f"{listed(spectrum.files, longest=400)}: eclipse depths; the forward model "
            f"computes transit depths, "
            "not the planet's emission: retrieve them with another code"
        )
    _check_instruments(description, spectrum)
    spectrum = averaged(spectrum, resolving_power)
    folder = opacities or description.opacities
    if folder == "builtin":
        folder = str(ensure_builtin_opacities(cache_folder() / "opacities"))
    description = replace(description, opacities=folder)
    tables, spectrum = _covering_tables(folder, description.gases, spectrum)
    description = _completed(description, spectrum, tables)
    transmission = _transmission(description, tables, spectrum, dtype)
    physics = ParametricModel(
        transmission,
        torch.as_tensor(np.array(spectrum.wavelength_um)),
        TemperatureProfile(description.profile, description.n_points, description.smoothing),
        _chemistry(description),
    )
    return SpectrumModel(physics, description, spectrum)


def averaged(spectrum: ObservedSpectrum, resolving_power: float | None) -> ObservedSpectrum:
    """The spectrum at a resolving power, see :func:`prepared_model`."""
    if resolving_power is None:
        if len(spectrum) <= MOST_POINTS:
            return spectrum
        resolving_power = BINNED_RESOLVING_POWER
    if not np.isfinite(resolving_power):
        return spectrum
    if not resolving_power > 0:
        raise ArielflowError(f"resolving power {resolving_power:g} is not above zero; such as 100")
    low = float((spectrum.wavelength_um - 0.5 * spectrum.width_um).min())
    high = float((spectrum.wavelength_um + 0.5 * spectrum.width_um).max())
    count = int(np.ceil(np.log(high / low) * resolving_power))
    binned = spectrum.bin_to(np.geomspace(low, high * (1 + 1e-9), count + 1))
    note = (
        f"{len(spectrum)} points averaged to {len(binned)}, a resolving power of "
        f"{resolving_power:g}"
    )
    return replace(binned, notes=(*binned.notes, note))


def _check_instruments(description: Description, spectrum: ObservedSpectrum) -> None:
    unknown = [name for name in description.instruments if name not in spectrum.instruments]
    if unknown:
        raise ArielflowError(
            f"planet file: instruments {listed(unknown)} are not in the spectrum, which has "
            f"{listed(spectrum.instruments, 20)}; use these names"
        )


def _covering_tables(
    folder: str, gases: tuple[str, ...], spectrum: ObservedSpectrum
) -> tuple[dict[str, OpacityTable], ObservedSpectrum]:
    """The gases' tables, and the points that all of them cover."""
    bins = np.array(spectrum.wavelength_um), np.array(spectrum.width_um)
    tables, covered = load_covering(folder, gases, *bins)
    if covered.sum() < FEWEST_POINTS:
        raise ArielflowError(
            f"{folder}: the tables of {listed(gases, 20)} cover {covered.sum()} of "
            f"{len(spectrum)} points, {bins[0].min():.3g} to {bins[0].max():.3g} um; use tables "
            "that do"
        )
    if covered.all():
        return tables, spectrum
    left_out = bins[0][~covered]
    note = (
        f"{len(left_out)} points between {left_out.min():.4g} and {left_out.max():.4g} um left "
        "out: no opacities there"
    )
    kept = spectrum.select(covered)
    return tables, replace(kept, notes=(*kept.notes, note))


def _completed(
    description: Description, spectrum: ObservedSpectrum, tables: dict[str, OpacityTable]
) -> Description:
    """The description with priors of the temperature and the radius where it has none."""
    if description.profile == "isothermal" and "temperature" not in description.parameters:
        nodes = [table.temperature_k for table in tables.values()]
        low, high = max(float(axis[0]) for axis in nodes), min(float(axis[-1]) for axis in nodes)
        prior = default_temperature(low, high)
        note = (
            f"no temperature in the planet file: {prior.words()}, where the opacities have values"
        )
        description = description.with_parameter(prior, note)
    if "planet_radius" not in description.parameters:
        prior = default_radius(description, spectrum)
        note = f"no radius in the planet file: {prior.words()}, around the shallowest depth"
        description = description.with_parameter(prior, note)
    return description


def default_temperature(low_k: float, high_k: float) -> Parameter:
    """Prior of a temperature that nothing is known of, between those of the tables [K]."""
    low, high = max(_TEMPERATURE_K[0], low_k), min(_TEMPERATURE_K[1], high_k)
    return Parameter("temperature", "uniform", low, high, "K", 1.0)


def default_radius(description: Description, spectrum: ObservedSpectrum) -> Parameter:
    """Prior of a radius that nothing is known of, around that of the shallowest depth."""
    star = description.fixed.get("star_radius")
    if star is None:
        parameter = next(p for p in description.free if p.name == "star_radius")
        share = torch.full((1,), 0.5, dtype=torch.float64)
        star = float(parameter.si(parameter.sampled(share)))
    seen = star * float(np.sqrt(spectrum.depth.min())) / RJUP
    low, high = (round(share * seen, 4) for share in _RADIUS_SHARES)
    return Parameter("planet_radius", "uniform", low, high, "Rjup", RJUP)


def _transmission(
    description: Description,
    tables: dict[str, OpacityTable],
    spectrum: ObservedSpectrum,
    dtype: torch.dtype,
) -> TransmissionModel:
    first = next(iter(tables.values()))
    grid = first.wavenumber_cm1
    bins = np.array(spectrum.wavelength_um), np.array(spectrum.width_um)
    projection = binning_matrix(grid, *bins, first.cell_bounds_cm1)
    # Between instruments there are wavelengths that no bin asks for.
    used = projection.any(axis=0)
    parts = {
        name: replace(
            table,
            wavenumber_cm1=grid[used],
            cell_bounds_cm1=None,
            cross_section_cm2=np.asarray(table.cross_section_cm2)[:, :, used],
        )
        for name, table in tables.items()
    }
    folder = Path(description.opacities)
    return TransmissionModel(
        parts,
        projection[:, used],
        bins=bins,
        cia=load_cia(folder) if description.collision_induced else (),
        pressures=description.pressures,
        he_h2_ratio=description.he_h2_ratio,
        dtype=dtype,
    )


def _chemistry(description: Description) -> Chemistry | None:
    if description.fastchem is None:
        return None
    grid = make_grid(description.gases, EquilibriumSettings(inputs=description.fastchem))
    return grid.mixing_ratios
