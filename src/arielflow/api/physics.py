"""The forward model: its settings, and differentiable spectra."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from arielflow.core.errors import ArielflowError
from arielflow.data.forward_models import edition_model, fast_physics
from arielflow.editions import NAMES, Edition, get_edition
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.physics.opacity_cache import cache_folder

Theta = TypeVar("Theta", Tensor, np.ndarray, xr.DataArray)


def physics_settings(
    opacities: str = "builtin",
    *,
    mode: Literal["reference", "fast"] = "reference",
    edition: str = "adc2023",
    cia: bool = False,
) -> PhysicsSettings:
    """Which opacities and which mode of the forward model; what is missing is made and cached.

    Parameters
    ----------
    opacities
        ``builtin``, or a folder with one table per molecule.
    mode
        ``reference`` computes every wavelength, ``fast`` at nodes, which are made once per folder
        of tables and edition.
    edition
        Whose wavelengths and molecules the fast mode is for.
    cia
        Collision-induced absorption, from the folder's files of it.

    Examples
    --------
    >>> import arielflow as af
    >>> physics = af.physics_settings()
    >>> physics.nodes is None, physics.cia
    (True, False)
    """
    if mode not in ("reference", "fast"):
        raise ArielflowError(f"mode {mode!r} is not known; choose reference or fast")
    if opacities == "builtin":
        opacities = str(ensure_builtin_opacities(builtin_folder()))
    physics = PhysicsSettings(str(opacities), cia=cia)
    return physics if mode == "reference" else fast_physics(get_edition(edition), physics)


def builtin_folder() -> Path:
    """Folder that the built-in opacities are written to."""
    return cache_folder() / "opacities"


def spectrum(theta: Theta, planets: xr.Dataset, *, physics: PhysicsSettings | None = None) -> Theta:
    """Spectra of planets for any values of their targets; tensors keep their gradients.

    Parameters
    ----------
    theta
        Targets in the edition's order and units, shape (planet, target) or (planet, sample,
        target): a tensor, an array, or a DataArray such as ``posterior["theta"]``.
    planets
        Planets dataset, which gives stars, masses and wavelengths.
    physics
        Opacities and mode of the forward model (:func:`arielflow.physics_settings`).

    Returns
    -------
    torch.Tensor, numpy.ndarray or xarray.DataArray
        Transit depths, shape (planet, wavelength) or (planet, sample, wavelength), of theta's own
        kind and in double precision. What the model has no spectrum for is NaN, with a gradient of
        zero.

    Raises
    ------
    ArielflowError
        The shapes do not match, or the forward model cannot be had for these planets.

    Examples
    --------
    >>> import arielflow as af
    >>> import torch
    >>> planets = af.simulate(2, seed=1)
    >>> theta = torch.tensor(planets["theta"].values, requires_grad=True)
    >>> depth = af.spectrum(theta, planets)
    >>> depth.shape
    torch.Size([2, 52])
    >>> depth.sum().backward()
    >>> theta.grad.shape
    torch.Size([2, 7])
    """
    if isinstance(theta, Tensor):
        return _depths(theta, planets, physics)
    with torch.no_grad():
        values = torch.as_tensor(np.asarray(theta, dtype=float))
        depth = _depths(values, planets, physics).cpu().numpy()
    if not isinstance(theta, xr.DataArray):
        return depth
    coordinates = {"planet": planets["planet"], "wavelength": planets["wavelength"]}
    return xr.DataArray(
        depth,
        coordinates,
        dims=(*theta.dims[:-1], "wavelength"),
        name="transit_depth",
        attrs={"long_name": "transit depth (Rp/Rs)^2", "units": "1"},
    )


def _depths(theta: Tensor, planets: xr.Dataset, physics: PhysicsSettings | None) -> Tensor:
    """Transit depths (…, wavelength) of theta (…, target), its first dimension the planets'."""
    expected = planets.sizes["planet"], planets.sizes["target"]
    if theta.ndim not in (2, 3) or (theta.shape[0], theta.shape[-1]) != expected:
        raise ArielflowError(
            f"theta: shape {tuple(theta.shape)}, expected (planet, target) or (planet, sample, "
            f"target) with {expected[0]} planets and {expected[1]} targets"
        )
    forward = forward_model(planets, physics, device=str(theta.device))
    rows = np.repeat(np.arange(expected[0]), theta[0, ..., 0].numel())
    depth = forward.depths(rows, theta.reshape(-1, expected[1]).double())
    return depth.reshape(*theta.shape[:-1], -1)


def forward_model(
    planets: xr.Dataset, physics: PhysicsSettings | None, *, device: str = "cpu"
) -> ForwardModel:
    """The forward model of these planets, by default with the built-in opacities."""
    physics = physics or physics_settings()
    return ForwardModel(edition_model(edition_of(planets), physics, device=device), planets)


def edition_of(dataset: xr.Dataset) -> Edition:
    """The edition that a dataset of planets or posteriors bears.

    Raises
    ------
    ArielflowError
        It bears none.
    """
    name = dataset.attrs.get("edition")
    if name is None:
        raise ArielflowError(
            "dataset: bears no edition; make it with arielflow.read or simulate, or set "
            f"attrs['edition'] to one of {', '.join(NAMES)}"
        )
    return get_edition(name)
