"""What models see of a planet: spectrum, errors and system as features, traces as draws.

Scalers are fitted on the training split only. Where the planet's radius is a target, its surface
gravity (which would give the radius away) is not part of the context.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from arielflow.core.schema import auxiliary_values, target_index
from arielflow.physics.systems import GRAVITATIONAL_CONSTANT, Systems, scale_height_m

_CLIP_STANDARD_DEVIATIONS = 10.0
# Share of planets.
_OTHER_ERRORS = 0.5
# Of a component, in variances of a standardised feature; smaller ones are not blown up.
_LEAST_VARIANCE = 1e-3


@dataclass
class PlanetTensors:
    """A planets dataset as double-precision tensors, the planets along the first axis.

    Attributes
    ----------
    depth, error : Tensor
        Transit depths and their errors (planet, wavelength).
    system : Tensor
        Logarithms of the context's auxiliaries (planet, feature).
    star_radius_m, mass_kg, equilibrium_k : Tensor
        (planet,), ones where the edition has no auxiliaries.
    known_radius_m : Tensor | None
        (planet,), where the radius is not a target.
    low, high : Tensor
        The retrieval prior's box (planet, target).
    theta : Tensor
        (planet, target), NaN where unknown.
    noisy : bool
        Noise is to be added to the depths in training.
    """

    depth: Tensor
    error: Tensor
    system: Tensor
    star_radius_m: Tensor
    mass_kg: Tensor
    equilibrium_k: Tensor
    known_radius_m: Tensor | None
    low: Tensor
    high: Tensor
    theta: Tensor
    noisy: bool

    @property
    def physical(self) -> bool:
        """The star and planet are described, so that depths can be turned into radii."""
        return self.system.shape[1] > 0

    def __len__(self) -> int:
        return len(self.depth)

    def rows(self, index: Tensor) -> PlanetTensors:
        """The planets at these rows."""
        parts = {
            name: value[index] if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return PlanetTensors(**parts)

    def to(self, device: torch.device | str) -> PlanetTensors:
        """The same tensors on a device."""
        parts = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in vars(self).items()
        }
        return PlanetTensors(**parts)

    def with_noise(self, generator: torch.Generator) -> PlanetTensors:
        """A copy with fresh Gaussian noise from the planets' own errors, if they are noise-free."""
        if not self.noisy:
            return self
        # Drawn on the CPU always, so that a GPU sees the same noise.
        noise = torch.randn(self.depth.shape, generator=generator, dtype=self.depth.dtype)
        depth = self.depth + noise.to(self.depth.device) * self.error
        return replace(self, depth=depth)

    def with_other_errors(
        self, factors: tuple[float, float], generator: torch.Generator
    ) -> PlanetTensors:
        """A copy in which half of the planets have larger or smaller errors, if noise is to come.

        Parameters
        ----------
        factors
            Least and largest factor; drawn log-uniformly.
        generator
            Of the draws, on the CPU.
        """
        if not self.noisy:
            return self
        low, high = np.log(factors)
        drawn = torch.rand(2, len(self), 1, generator=generator, dtype=self.error.dtype)
        factor = torch.where(drawn[0] < _OTHER_ERRORS, (low + (high - low) * drawn[1]).exp(), 1.0)
        return replace(self, error=self.error * factor.to(self.error.device))

    def identity(self) -> tuple[np.ndarray, ...]:
        """Arrays by which a training knows its data again."""
        return tuple(v.cpu().numpy() for v in vars(self).values() if isinstance(v, Tensor))


def planet_tensors(planets: xr.Dataset) -> PlanetTensors:
    """Tensors of a planets dataset (usable planets only)."""

    def tensor(values: np.ndarray) -> Tensor:
        return torch.as_tensor(np.asarray(values, dtype=float))

    n_planets = planets.sizes["planet"]
    ones = np.ones(n_planets)
    systems = Systems.of(planets)
    columns = np.empty((n_planets, 0))
    star_radius = mass = equilibrium = ones
    if systems.planet_mass_kg is not None:
        star_radius, mass = systems.star_radius_m, systems.planet_mass_kg
        equilibrium = systems.equilibrium_temperature_k
        described = [star_radius, systems.star_temperature_k, equilibrium, mass]
        if systems.planet_radius_m is not None:
            described.append(systems.planet_radius_m)
        # Impossible systems become NaN or infinite here, by which models know them.
        with np.errstate(all="ignore"):
            columns = np.log(np.stack(described, axis=1))
    known_radius = systems.planet_radius_m
    return PlanetTensors(
        depth=tensor(planets["transit_depth"].values),
        error=tensor(planets["transit_depth_error"].values),
        system=tensor(columns),
        star_radius_m=tensor(star_radius),
        mass_kg=tensor(mass),
        equilibrium_k=tensor(equilibrium),
        known_radius_m=None if known_radius is None else tensor(known_radius),
        low=tensor(planets["prior_low"].values),
        high=tensor(planets["prior_high"].values),
        theta=tensor(planets["theta"].values),
        noisy=planets.attrs.get("noise") == "free",
    )


def noisy_copies(planets: xr.Dataset, seed: int) -> xr.Dataset:
    """The same planets, their spectra with one draw of Gaussian noise from their own errors.

    A posterior given the noise-free spectrum has the true theta at too central a place; given
    these, an exact one is calibrated. Spectra stored with noise are returned as they are.

    Parameters
    ----------
    planets
        Planets dataset, ``noise`` among its attributes; of unusable planets nothing is required.
    seed
        Seed of the noise.

    Returns
    -------
    xarray.Dataset
        With the attribute ``noise`` set to ``included``.
    """
    if planets.attrs.get("noise") != "free":
        return planets
    error = planets["transit_depth_error"]
    noise = error * np.random.default_rng(seed).standard_normal(error.shape)
    noisy = planets.assign(
        transit_depth=(planets["transit_depth"] + noise).assign_attrs(
            planets["transit_depth"].attrs
        )
    )
    return noisy.assign_attrs(noise="included")


class TraceDraws:
    """Annotated planets, and draws from their nested-sampling traces by weight.

    The spectra keep no noise: a trace is the posterior of the spectrum as it is stored.

    Parameters
    ----------
    annotated
        Planets with ragged traces, see :func:`arielflow.data.splits.annotated_planets`.
    rows
        Positions of the planets to take.
    """

    def __init__(self, annotated: xr.Dataset, rows: np.ndarray) -> None:
        ends = np.cumsum(annotated["row_size"].values)
        starts = ends - annotated["row_size"].values
        pieces = [slice(starts[row], ends[row]) for row in rows]
        weights = [annotated["weight"].values[piece] for piece in pieces]
        # Planet i's cumulated weights end at i + 1: one search serves all planets.
        cumulated = [i + np.cumsum(w) / np.sum(w) for i, w in enumerate(weights)]
        self._cumulated = torch.as_tensor(np.concatenate(cumulated))
        trace = np.concatenate([annotated["trace"].values[piece] for piece in pieces])
        self._trace = torch.as_tensor(trace.astype(float))
        everything = planet_tensors(spectra(annotated).isel(planet=rows))
        # The scalers of coordinates look at theta: one sample a planet stands for its posterior.
        drawn = self._draw(torch.arange(len(rows)), torch.Generator().manual_seed(0))
        self.planets = replace(everything, noisy=False, theta=drawn)

    def __len__(self) -> int:
        return len(self.planets)

    def _draw(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(len(rows), generator=generator, dtype=torch.float64)
        index = torch.searchsorted(self._cumulated, rows + uniform, right=True)
        return self._trace[index.clamp(max=len(self._trace) - 1)]

    def draw(self, rows: Tensor, generator: torch.Generator) -> tuple[PlanetTensors, Tensor]:
        """The planets at these rows, and one sample (row, target) of each one's posterior."""
        return self.planets.rows(rows), self._draw(rows, generator)

    def identity(self) -> tuple[np.ndarray, ...]:
        """Arrays by which a training knows its data again."""
        return *self.planets.identity(), self._trace.numpy(), self._cumulated.numpy()


def spectra(annotated: xr.Dataset) -> xr.Dataset:
    """Annotated planets without their traces."""
    return annotated[[name for name, values in annotated.items() if "obs" not in values.dims]]


def observed_radius_m(planets: PlanetTensors) -> Tensor:
    """Radius of the error-weighted mean transit depth, R_star sqrt(depth) (planet,) [m]."""
    weight = planets.error**-2
    mean = (weight * planets.depth).sum(dim=1) / weight.sum(dim=1)
    return planets.star_radius_m * torch.sqrt(mean.clamp(min=1e-12))


def reference_scale_height_m(planets: PlanetTensors, radius_m: Tensor) -> Tensor:
    """Scale height (planet,) [m] at the equilibrium temperature and at ``radius_m``."""
    gravity = GRAVITATIONAL_CONSTANT * planets.mass_kg / radius_m**2
    return scale_height_m(planets.equilibrium_k, gravity)


def context_features(planets: PlanetTensors, physical: bool = True) -> Tensor:
    """Unscaled features (planet, feature) of spectra, errors and systems.

    Where the system is described, depths are measured from the observed radius (or the known one)
    in units of the transit depth of one scale height; the features are then nearly free of the
    planet's size and distance from its star. Elsewhere, or if not ``physical``, the depths stand
    as they are.
    """
    if planets.physical and not physical:
        plain = [planets.depth, torch.log(planets.error), planets.system]
        return torch.cat([*plain, planets.low, planets.high], dim=1)
    if not planets.physical:
        mean = planets.depth.mean(dim=1, keepdim=True)
        return torch.cat([planets.depth, mean, planets.depth - mean], dim=1)
    observed = observed_radius_m(planets)
    radius = observed if planets.known_radius_m is None else planets.known_radius_m
    height = reference_scale_height_m(planets, radius)
    one_height = (2 * radius * height / planets.star_radius_m**2)[:, None]
    base = ((radius / planets.star_radius_m) ** 2)[:, None]
    scaled = torch.asinh((planets.depth - base) / one_height / 5) * 5
    sizes = torch.log(torch.stack([observed, height / radius], dim=1))
    errors = torch.log(planets.error / one_height)
    return torch.cat([scaled, errors, planets.system, sizes, planets.low, planets.high], dim=1)


def finite_context(planets: PlanetTensors, physical: bool = True) -> Tensor:
    """Boolean (planet,): :func:`context_features` and what coordinates are measured by are finite.

    A system or error that is zero, negative or beyond all measure makes them NaN or infinite.
    """
    finite = context_features(planets, physical).isfinite().all(dim=1)
    if not planets.physical:
        return finite
    observed = observed_radius_m(planets)
    height = reference_scale_height_m(planets, observed)
    return finite & observed.isfinite() & height.isfinite() & (height > 0)


def context_feature_names(planets: xr.Dataset) -> list[str]:
    """Names of the columns of :func:`context_features`, for people."""
    bins = [f"{value:.4g} um" for value in planets["wavelength"].values]
    depths = [f"depth at {name}" for name in bins]
    if auxiliary_values(planets, "planet_mass_kg") is None:
        return [*depths, "mean depth", *(f"depth less mean at {name}" for name in bins)]
    targets = list(planets["target"].values)
    system = ["star radius", "star temperature", "equilibrium temperature", "planet mass"]
    if target_index(planets, "planet_radius") is None:
        system.append("planet radius")
    return [
        *depths,
        *(f"error at {name}" for name in bins),
        *system,
        "observed radius",
        "scale height over radius",
        *(f"prior low of {name}" for name in targets),
        *(f"prior high of {name}" for name in targets),
    ]


class Context(nn.Module):
    """Standardised :func:`context_features` of a (noisy) spectrum, its errors and the system.

    Beside them stand their principal components, all of about the same variance: what tells one
    molecule from another is a small part of the variance of neighbouring bins, which a network
    finds sooner where it is as large as the rest.

    Buffers: mean and standard deviation of every feature over the training split, and the matrix
    from the standardised features to the components.

    Parameters
    ----------
    n_features
        Number of features.
    physical
        Depths in scale heights above the observed radius instead of as they are.
    """

    def __init__(self, n_features: int, *, physical: bool = True) -> None:
        super().__init__()
        self.physical = physical
        self.register_buffer("mean", torch.zeros(n_features, dtype=torch.float64))
        self.register_buffer("deviation", torch.ones(n_features, dtype=torch.float64))
        self.register_buffer("components", torch.zeros(n_features, n_features))

    @classmethod
    def fitted(cls, train: PlanetTensors, seed: int, *, physical: bool = True) -> Context:
        """Fit the scaler on the training split, with one draw of its noise."""
        noisy = train.with_noise(torch.Generator().manual_seed(seed))
        raw = context_features(noisy, physical)
        context = cls(raw.shape[1], physical=physical)
        context.mean.copy_(raw.mean(dim=0))
        context.deviation.copy_(raw.std(dim=0).clamp(min=1e-9))
        variance, direction = torch.linalg.eigh(torch.cov(context._scaled(noisy).T))
        scale = (variance.clamp(min=0) + _LEAST_VARIANCE).sqrt()
        context.components.copy_(direction / scale)
        return context

    def _scaled(self, planets: PlanetTensors) -> Tensor:
        scaled = (context_features(planets, self.physical) - self.mean) / self.deviation
        return scaled.clamp(-_CLIP_STANDARD_DEVIATIONS, _CLIP_STANDARD_DEVIATIONS)

    def forward(self, planets: PlanetTensors) -> Tensor:
        """Features and components (planet, output), single, cut at ten standard deviations."""
        scaled = self._scaled(planets).float()
        components = scaled @ self.components
        limit = _CLIP_STANDARD_DEVIATIONS
        return torch.cat([scaled, components.clamp(-limit, limit)], dim=1)
