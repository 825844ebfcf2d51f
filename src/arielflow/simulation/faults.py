"""Faults that the retrieval's model does not know, put into simulated spectra.

A fault has an amplitude, whose meaning differs from fault to fault. What they have in common is the
chi2 that remains in a noise-free spectrum after the best refit with the model's own parameters:
amplitudes are chosen by it, planet by planet, so that faults can be compared. A fault that a refit
absorbs, such as a line list scaled as a whole, leaves none at any amplitude, and nobody can see it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.data.forward_models import edition_molecules
from arielflow.editions import Edition
from arielflow.physics.cia import load_cia
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.physics.opacity import OpacityTable, projection
from arielflow.physics.opacity_cache import load_opacities
from arielflow.physics.parametric import star_spot_factor
from arielflow.physics.transmission import Planets, TransmissionModel
from arielflow.retrieval.linear import jacobian, scaled_jacobian, unabsorbed

# Random distortions are shared by the planets of a realisation.
_REALISATIONS = 8
_STEPS = 17
_CORRELATION_LOG_UM = 0.1
# SO2's strongest bands within Ariel's range, as Gaussians of its bands' widths.
_MISSING_BANDS_CM1 = ((2499.0, 35.0, 2e-20), (1362.0, 35.0, 8e-19))
_MISSING_GAS = "SO2"
_HAZE_SLOPE = -8.0
_SPOT_CONTRAST = 0.85
_SECOND_CHANNEL_UM = 3.9
_GRADIENT_REFERENCE_PA = 1e2
_TEMPERATURE_RANGE_K = (150.0, 2600.0)
_LEAST_CLOUD_PA, _BOTTOM_PA = 1e-2, 1e6


@dataclass
class Scene:
    """Planets of one realisation, and what a fault does to them.

    Attributes
    ----------
    planets : as the radiative transfer takes them, isothermal
    star_temperature_k : shape (planet,)
    error : of the depths, shape (planet, wavelength)
    wavelength_um : centres of the bins
    tables : opacity tables by molecule
    layers_pa : pressures of the layers
    rng : of the realisation
    factor, added : on the depths, shape (planet, wavelength)
    """

    planets: Planets
    star_temperature_k: np.ndarray
    error: np.ndarray
    wavelength_um: np.ndarray
    tables: dict[str, OpacityTable]
    layers_pa: np.ndarray
    rng: np.random.Generator
    factor: np.ndarray | float = 1.0
    added: np.ndarray | float = 0.0


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes
    ----------
    words : what it is, for people
    weakest, strongest : amplitudes that are tried
    unit : of the amplitude
    apply : puts the fault of an amplitude into a scene
    """

    words: str
    weakest: float
    strongest: float
    unit: str
    apply: Callable[[Scene, float], None] = field(repr=False)

    def amplitude(self, share: float) -> float:
        """Between the weakest (0) and the strongest (1), in equal steps of the logarithm."""
        return float(self.weakest * (self.strongest / self.weakest) ** share)


def _distort_opacities(scene: Scene, amplitude: float) -> None:
    for name, table in scene.tables.items():
        shape = _smooth_noise(np.log(1e4 / table.wavenumber_cm1), 1, scene.rng)[0]
        factor = 10.0 ** (amplitude * shape)
        if table.quadrature_weights is not None:
            factor = factor[:, None]
        values = np.asarray(table.cross_section_cm2)
        scene.tables[name] = replace(
            table, cross_section_cm2=(values * factor).astype(values.dtype)
        )


def _scale_opacities(scene: Scene, amplitude: float) -> None:
    table = scene.tables["H2O"]
    values = np.asarray(table.cross_section_cm2)
    scaled = (values * amplitude).astype(values.dtype)
    scene.tables["H2O"] = replace(table, cross_section_cm2=scaled)


def _add_gas(scene: Scene, amplitude: float) -> None:
    like = next(iter(scene.tables.values()))
    grid, values = like.wavenumber_cm1, np.asarray(like.cross_section_cm2)
    bands = sum(
        peak * np.exp(-0.5 * ((grid - centre) / width) ** 2)
        for centre, width, peak in _MISSING_BANDS_CM1
    )
    bands = np.maximum(bands, 1e-40)
    if like.quadrature_weights is not None:
        bands = bands[:, None]
    section = np.broadcast_to(bands, values.shape).astype(values.dtype)
    scene.tables[_MISSING_GAS] = replace(like, molecule=_MISSING_GAS, cross_section_cm2=section)
    mixing = scene.planets.log_mixing_ratio
    added = torch.full_like(mixing[:, :1], np.log10(amplitude))
    scene.planets = replace(scene.planets, log_mixing_ratio=torch.cat([mixing, added], dim=1))


def _add_cloud(scene: Scene, amplitude: float) -> None:
    top = torch.full_like(scene.planets.radius_m, max(_BOTTOM_PA / amplitude, _LEAST_CLOUD_PA))
    scene.planets = replace(scene.planets, cloud_pressure_pa=top)


def _add_haze(scene: Scene, amplitude: float) -> None:
    strength = torch.full_like(scene.planets.radius_m, np.log10(amplitude))
    slope = torch.full_like(strength, _HAZE_SLOPE)
    scene.planets = replace(scene.planets, haze_log_strength=strength, haze_slope=slope)


def _add_spots(scene: Scene, amplitude: float) -> None:
    star = torch.as_tensor(scene.star_temperature_k)
    values = {
        "star_temperature": star,
        "spot_temperature": _SPOT_CONTRAST * star,
        "spot_fraction": torch.full_like(star, amplitude),
    }
    scene.factor = star_spot_factor(values, torch.tensor(scene.wavelength_um)).numpy()


def _shift_instrument(scene: Scene, amplitude: float) -> None:
    moved = scene.wavelength_um > _SECOND_CHANNEL_UM
    scene.added = scene.added + amplitude * np.median(scene.error, axis=1)[:, None] * moved


def _correlate_noise(scene: Scene, amplitude: float) -> None:
    noise = _smooth_noise(np.log(scene.wavelength_um), len(scene.error), scene.rng)
    scene.added = scene.added + amplitude * scene.error * noise


def _add_white_noise(scene: Scene, amplitude: float) -> None:
    noise = scene.rng.standard_normal(scene.error.shape)
    scene.added = scene.added + amplitude * scene.error * noise


def _tilt_temperature(scene: Scene, amplitude: float) -> None:
    decades = torch.as_tensor(np.log10(scene.layers_pa / _GRADIENT_REFERENCE_PA))
    profile = scene.planets.temperature_k[:, None] * (1 + amplitude * decades)
    profile = profile.clamp(*_TEMPERATURE_RANGE_K)
    scene.planets = replace(scene.planets, temperature_k=profile)


def _both(first: str, second: str) -> Callable[[Scene, float], None]:
    def apply(scene: Scene, amplitude: float) -> None:
        for name in (first, second):
            FAULTS[name].apply(scene, FAULTS[name].amplitude(amplitude))

    return apply


FAULTS: Mapping[str, Fault] = {
    "distorted_opacities": Fault(
        "cross-sections distorted by wavelength", 0.01, 0.6, "dex", _distort_opacities
    ),
    "missing_gas": Fault(
        "a gas that the model lacks (SO2's bands)", 1e-11, 1e-1, "mixing ratio", _add_gas
    ),
    "cloud": Fault("an opaque cloud deck", 1.5, 1e8, "bottom over cloud-top pressure", _add_cloud),
    "haze": Fault(
        "haze with a slope of -8", 1e-2, 1e6, "Rayleigh scattering at 0.35 um", _add_haze
    ),
    "star_spots": Fault("unocculted star spots", 1e-3, 0.5, "spot fraction", _add_spots),
    "instrument_offset": Fault(
        "an offset of AIRS-CH1", 0.02, 30, "median error bars", _shift_instrument
    ),
    "correlated_noise": Fault(
        "noise correlated between bins", 0.1, 30, "error bars", _correlate_noise
    ),
    "small_errors": Fault("error bars too small", 0.1, 3, "added error bars", _add_white_noise),
    "temperature_gradient": Fault(
        "temperature rising with pressure", 3e-3, 0.4, "share per decade", _tilt_temperature
    ),
    "gas_and_offset": Fault(
        "a missing gas and an offset",
        0.1,
        1,
        "share of both",
        _both("missing_gas", "instrument_offset"),
    ),
    "haze_and_gradient": Fault(
        "haze and a temperature gradient",
        0.1,
        1,
        "share of both",
        _both("haze", "temperature_gradient"),
    ),
    "scaled_opacities": Fault(
        "H2O's cross-sections scaled as a whole", 1.05, 3, "factor", _scale_opacities
    ),
}
"""Kinds of faults by name."""


def _smooth_noise(log_um: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Draws (count, wavelength) of a Gaussian process of unit variance, without their mean."""
    # On a coarse grid: the process has no structure below its length.
    nodes = np.arange(log_um.min(), log_um.max() + _CORRELATION_LOG_UM, _CORRELATION_LOG_UM / 4)
    distance = (nodes[:, None] - nodes) / _CORRELATION_LOG_UM
    values, vectors = np.linalg.eigh(np.exp(-0.5 * distance**2))
    factor = vectors * np.sqrt(np.clip(values, 0, None))
    drawn = rng.standard_normal((count, len(nodes))) @ factor.T
    found = np.stack([np.interp(log_um, nodes, row) for row in drawn])
    return found - found.mean(axis=1, keepdims=True)


def with_fault(
    edition: Edition,
    planets: xr.Dataset,
    name: str,
    *,
    physics: PhysicsSettings,
    seed: int,
    chi2: np.ndarray,
) -> xr.Dataset:
    """The same planets, their noise-free spectra with a fault.

    Parameters
    ----------
    edition, planets
        Simulated planets with the theta that made them.
    name
        One of :data:`FAULTS`.
    physics
        Opacities of the model that made them.
    seed
        Of what is random in the fault.
    chi2
        What should remain after a refit in each planet's spectrum, shape (planet,). The nearest
        of the amplitudes tried is taken; some faults cannot leave as much.

    Returns
    -------
    xarray.Dataset
        With ``fault_amplitude(planet)`` and ``fault_chi2(planet)``, what remains after the refit in
        linear approximation. Planets whose faulty atmosphere has no spectrum have NaN depths.

    Raises
    ------
    ArielflowError
        There is no such fault, or the planets lack what it needs.
    """
    fault, stage = _known(name), _Stage(edition, planets, physics)
    depth = planets["transit_depth"].values
    amplitude = np.full(len(depth), np.nan)
    found, remaining = np.full(depth.shape, np.nan), np.full(len(depth), np.nan)
    miss = np.full(len(depth), np.inf)
    for tried in map(fault.amplitude, np.linspace(0, 1, _STEPS)):
        faulty = stage.depths(fault, tried, seed)
        left = np.sum(stage.unabsorbed(faulty) ** 2, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.abs(np.log(left / chi2))
        better = np.isfinite(distance) & (distance < miss)
        miss[better], amplitude[better] = distance[better], tried
        found[better], remaining[better] = faulty[better], left[better]
    variables = {
        "transit_depth": (("planet", "wavelength"), found, planets["transit_depth"].attrs),
        "fault_amplitude": ("planet", amplitude, {"units": fault.unit, "long_name": fault.words}),
        "fault_chi2": ("planet", remaining, {"units": "1", "long_name": "chi2 left by a refit"}),
    }
    return planets.assign(variables)


def faulty_depths(
    edition: Edition,
    planets: xr.Dataset,
    name: str,
    amplitude: float,
    *,
    physics: PhysicsSettings,
    seed: int,
) -> np.ndarray:
    """Noise-free depths (planet, wavelength) of the same planets with a fault of one amplitude.

    Parameters and errors are those of :func:`with_fault`, but for ``amplitude``, in the fault's own
    unit.
    """
    return _Stage(edition, planets, physics).depths(_known(name), amplitude, seed)


def _known(name: str) -> Fault:
    if name not in FAULTS:
        raise ArielflowError(f"fault {name!r} is unknown; choose {', '.join(FAULTS)}")
    return FAULTS[name]


class _Stage:
    """Planets, their true spectra and the model's derivatives there."""

    def __init__(self, edition: Edition, planets: xr.Dataset, physics: PhysicsSettings) -> None:
        bins = edition.wavelength_um, edition.wavelength_width_um
        molecules = tuple(edition_molecules(edition))
        self._tables = load_opacities(physics.opacities, molecules, *bins)
        self._matrix = projection(self._tables[molecules[0]], *bins)
        self._bins, self._cia = bins, load_cia(physics.opacities) if physics.cia else ()
        self._reference = TransmissionModel(self._tables, self._matrix, bins=bins, cia=self._cia)
        self._planets, forward = planets, ForwardModel(self._reference, planets)
        self._forward = forward
        if forward.systems.star_temperature_k is None:
            raise ArielflowError(
                f"edition {edition.name} does not describe the star; faults need its temperature"
            )
        theta = planets["theta"].values
        self._theta = torch.as_tensor(theta)
        rows = np.arange(len(theta))
        self._error = planets["transit_depth_error"].values
        slopes = jacobian(forward, rows, theta)
        self._slopes = np.nan_to_num(scaled_jacobian(slopes, self._error, forward.systems.prior))

    def unabsorbed(self, depth: np.ndarray) -> np.ndarray:
        """What a refit leaves (planet, wavelength) of other depths, in error bars."""
        change = (depth - self._planets["transit_depth"].values) / self._error
        return unabsorbed(self._slopes, change)

    def depths(self, fault: Fault, amplitude: float, seed: int) -> np.ndarray:
        """Noise-free depths (planet, wavelength) with the fault of an amplitude."""
        found = np.full(self._error.shape, np.nan)
        for realisation in range(min(_REALISATIONS, len(found))):
            rows = np.arange(realisation, len(found), _REALISATIONS)
            scene = self._scene(rows, np.random.default_rng([seed, realisation]))
            fault.apply(scene, amplitude)
            model = self._reference
            changed = scene.tables.keys() != self._tables.keys() or any(
                scene.tables[key] is not table for key, table in self._tables.items()
            )
            if changed:
                model = TransmissionModel(
                    scene.tables, self._matrix, bins=self._bins, cia=self._cia
                )
            with torch.no_grad():
                depth = model(scene.planets).numpy()
            found[rows] = depth * scene.factor + scene.added
        return found

    def _scene(self, rows: np.ndarray, rng: np.random.Generator) -> Scene:
        systems = self._forward.systems
        return Scene(
            planets=self._forward.atmospheres(rows, self._theta[rows]),
            star_temperature_k=systems.star_temperature_k[rows],
            error=self._error[rows],
            wavelength_um=systems.wavelength_um,
            tables=dict(self._tables),
            layers_pa=self._reference.pressures.layers_pa,
            rng=rng,
        )
