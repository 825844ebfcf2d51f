"""How the fast mode's nodes are chosen, fitted and judged; see :mod:`arielflow.physics.nodes`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from sklearn.linear_model import Ridge, lars_path

from arielflow.physics.nodes import NodeRange, NodeSet
from arielflow.physics.population import draw_systems
from arielflow.physics.rays import Rays
from arielflow.physics.systems import (
    ATOMIC_MASS_UNIT_KG,
    BOLTZMANN_CONSTANT,
    GRAVITATIONAL_CONSTANT,
    JUPITER_RADIUS_M,
    SOLAR_MEAN_MOLECULAR_WEIGHT_U,
    SOLAR_RADIUS_M,
    equilibrium_temperature_k,
    molecular_mass_u,
    scale_height_m,
    surface_gravity_m_s2,
)
from arielflow.physics.transmission import TransmissionModel
from arielflow.settings.nodes import NodeSettings

log = logging.getLogger(__name__)

_RIDGES = 10.0 ** np.arange(-8.0, -2.0)
_HELD_OUT = 0.2
_CHUNK = 100
# A larger part of the tables' wavelengths is not worth the error of leaving out the others.
_MOST_CHOSEN = 0.5
# As many planets as the weights of the rays are fitted on; each gives as many depths as bins.
_RAY_PLANETS = 300


def draw_planets(
    number: int, molecules: Sequence[str], span: NodeRange, seed: int | Sequence[int]
) -> list[np.ndarray]:
    """Arguments of :class:`TransmissionModel` for random planets over a range.

    Temperatures and scale heights are drawn uniformly in their logarithm: cold atmospheres, whose
    lines are narrow, are the hardest to stand in for.
    """
    rng = np.random.default_rng(seed)
    radius = rng.uniform(0.1, 3, number) * JUPITER_RADIUS_M
    ratio = np.exp(rng.uniform(*np.log(span.scale_height_over_radius), number))
    temperature = np.exp(rng.uniform(*np.log(span.temperature_k), number))
    log_mixing = rng.uniform(*span.log_mixing_ratio, (number, len(molecules)))
    star = np.maximum(rng.uniform(0.8, 2, number) * SOLAR_RADIUS_M, radius / 0.25)
    mass_u = _mean_mass_u(log_mixing, molecules)
    kinetic = BOLTZMANN_CONSTANT * temperature / (mass_u * ATOMIC_MASS_UNIT_KG)
    mass = kinetic * radius / (GRAVITATIONAL_CONSTANT * ratio)
    return [radius, mass, temperature, star, log_mixing]


def draw_population(
    number: int, molecules: Sequence[str], span: NodeRange, seed: int
) -> list[np.ndarray]:
    """The same for planets of the population, as the challenge has them, inside a range."""
    rng = np.random.default_rng([seed, number])
    systems = draw_systems(2 * number, seed=seed, split="nodes", radius_rjup=(0.1, 3.0))
    radius = systems["planet_radius_rjup"] * JUPITER_RADIUS_M
    mass, star = systems["planet_mass_kg"], systems["star_radius_m"]
    temperature = equilibrium_temperature_k(
        systems["star_temperature_k"], star, systems["semi_major_axis_au"]
    ) * rng.uniform(0.7, 1.3, len(radius))
    log_mixing = rng.uniform(*span.log_mixing_ratio, (len(radius), len(molecules)))
    height = scale_height_m(
        temperature, surface_gravity_m_s2(mass, radius), _mean_mass_u(log_mixing, molecules)
    )
    inside = (height / radius < span.scale_height_over_radius[1]) & (
        (temperature > span.temperature_k[0]) & (temperature < span.temperature_k[1])
    )
    return [value[inside][:number] for value in (radius, mass, temperature, star, log_mixing)]


def _mean_mass_u(log_mixing: np.ndarray, molecules: Sequence[str]) -> np.ndarray:
    mixing = 10.0**log_mixing
    heavy = mixing @ np.array([molecular_mass_u(name) for name in molecules])
    return heavy + (1 - mixing.sum(axis=1)) * SOLAR_MEAN_MOLECULAR_WEIGHT_U


def _chunks(planets: list[np.ndarray], size: int) -> Iterator[list[np.ndarray]]:
    for start in range(0, len(planets[0]), size):
        yield [values[start : start + size] for values in planets]


def _scale_height_depth(model: TransmissionModel, planets: list[np.ndarray]) -> np.ndarray:
    """Depth of one scale height, 2 R H / Rs^2, shape (planet, 1)."""
    radius, mass, temperature, star, log_mixing = planets
    gravity = surface_gravity_m_s2(mass, radius)
    height = scale_height_m(temperature, gravity, _mean_mass_u(log_mixing, model.molecules))
    return (2 * radius * height / star**2)[:, None]


def _fitted_rays(model: TransmissionModel, planets: list[np.ndarray], every: int) -> Rays:
    absorbed = [
        model.absorbed_by_ray(*part) / _scale_height_depth(model, part)[:, None]
        for part in _chunks(planets, model.batch_size)
    ]
    by_ray = np.concatenate(absorbed).swapaxes(1, 2)
    return Rays.fitted(by_ray.reshape(-1, by_ray.shape[2]), every)


def _scaled(
    model: TransmissionModel,
    few_rays: TransmissionModel,
    planets: list[np.ndarray],
    columns: np.ndarray | None,
    report,
) -> tuple[np.ndarray, np.ndarray]:
    """Depths above the disk in scale heights: few rays' on the grid, all in bins."""
    native, binned = [], []
    for part in _chunks(planets, _CHUNK):
        base = ((part[0] / part[3]) ** 2)[:, None]
        unit = _scale_height_depth(model, part)
        with torch.no_grad():
            binned.append((model(*part).cpu().numpy() - base) / unit)
            depth = (few_rays(*part, native=True).cpu().numpy() - base) / unit
        native.append((depth if columns is None else depth[:, columns]).astype(np.float32))
        report(len(depth))
    return np.concatenate(native), np.concatenate(binned)


def build_nodes(
    model: TransmissionModel,
    fingerprint: str,
    *,
    settings: NodeSettings | None = None,
    span: NodeRange | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> NodeSet:
    """Choose rays and nodes for the reference mode given, fit their matrix, measure its errors.

    Parameters
    ----------
    model
        Reference mode on the tables in use.
    fingerprint
        Checksum of the tables and settings, kept with the nodes.
    settings, span
        How they are made, and the planets that they are made for.
    progress
        Called with the number of planets computed and of all.
    """
    settings, span = settings or NodeSettings(), span or NodeRange()
    sizes = (settings.n_select, settings.n_fit, settings.n_validation)
    done = 0

    def report(number: int) -> None:
        nonlocal done
        done += number
        if progress:
            progress(done, sum(sizes))

    select, fit = (
        draw_planets(n, model.molecules, span, [settings.seed, part])
        for part, n in enumerate(sizes[:2])
    )
    validation = draw_population(settings.n_validation, model.molecules, span, settings.seed)
    rays = _fitted_rays(model, [values[:_RAY_PLANETS] for values in select], settings.ray_spacing)
    models = model, model.with_rays(rays)
    native, binned = _scaled(*models, select, None, report)
    index = _choose(native, binned, model.projection, settings)
    if len(index) > _MOST_CHOSEN * native.shape[1]:
        # Hardly fewer than all, which need no fit.
        index, matrix = np.arange(native.shape[1]), model.projection
    else:
        at_nodes, binned = _scaled(*models, fit, index, report)
        matrix = _ridge(at_nodes.astype(float), binned)
    at_nodes, binned = _scaled(*models, validation, index, report)
    unit = _scale_height_depth(model, validation)
    error_ppm = np.abs((at_nodes @ matrix.T - binned) * unit) * 1e6
    found = {
        "planets": len(error_ppm),
        "rms_ppm": float(np.sqrt(np.mean(error_ppm**2))),
        "p99_ppm": float(np.quantile(error_ppm, 0.99)),
        "max_ppm": float(error_ppm.max()),
    }
    log.info(
        "fast mode: %d of %d wavelengths, %d of %d rays, %s",
        *(len(index), native.shape[1], len(rays.layer), model.pressures.n_layers, found),
    )
    return NodeSet(index, matrix, rays, fingerprint, span, found)


def _choose(
    native: np.ndarray, binned: np.ndarray, projection: np.ndarray, settings: NodeSettings
) -> np.ndarray:
    """Positions of the wavelengths that reproduce the bins with non-negative weights."""
    chosen: set[int] = set()
    for row, target in zip(projection, binned.T, strict=True):
        inside = np.flatnonzero(row > 0)
        candidates = native[:, inside].astype(float)
        # The path drops wavelengths as well as taking them: more steps than nodes.
        steps = 5 * settings.nodes_per_bin
        _, _, weights = lars_path(candidates, target, method="lasso", positive=True, max_iter=steps)
        error = np.sqrt(np.mean((candidates @ weights - target[:, None]) ** 2, axis=0))
        few = np.flatnonzero((weights > 0).sum(axis=0) <= settings.nodes_per_bin)
        enough = few[error[few] < settings.tolerance]
        best = enough[0] if len(enough) else few[np.argmin(error[few])]
        chosen.update(inside[weights[:, best] > 0].tolist())
    return np.array(sorted(chosen))


def _ridge(at_nodes: np.ndarray, binned: np.ndarray) -> np.ndarray:
    """Matrix (wavelength, node); the strength of the ridge is chosen on planets held out."""
    held_out = int(_HELD_OUT * len(at_nodes))
    x, y = at_nodes[held_out:], binned[held_out:]
    scale = float(np.mean(x**2)) * len(x)

    def fit(x: np.ndarray, y: np.ndarray, strength: float) -> np.ndarray:
        return Ridge(alpha=strength * scale, fit_intercept=False).fit(x, y).coef_

    errors = [
        np.mean((at_nodes[:held_out] @ fit(x, y, s).T - binned[:held_out]) ** 2) for s in _RIDGES
    ]
    best = _RIDGES[int(np.argmin(errors))]
    log.info("fast mode: ridge %g of %s", best, np.sqrt(errors))
    return fit(at_nodes, binned, best)
