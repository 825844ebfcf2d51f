"""Transit depths as a function of named parameters: any profile, chemistry, clouds and star spots.

Names and SI units of the parameters:

- ``star_radius``, ``planet_radius`` [m], ``planet_mass`` [kg];
- ``temperature`` [K]; or Guillot's ``irradiation_temperature``, ``internal_temperature`` [K],
  ``infrared_opacity``, ``visible_opacity``, ``second_visible_opacity`` [m2/kg], ``second_share``;
  or ``point_pressure_0``, … [Pa] and ``point_temperature_0``, … [K] from the bottom up;
- the volume mixing ratio of every gas by its formula, or ``metallicity`` [solar] and ``c_to_o``,
  beside which a gas that is named has its own mixing ratio at all pressures;
- ``cloud_top_pressure`` [Pa], ``cloud_fraction``, ``haze_strength`` (over Rayleigh scattering of
  H2 at 0.35 um), ``haze_slope``;
- ``star_temperature``, ``spot_temperature`` [K], ``spot_fraction``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from arielflow.physics.profiles import guillot, joined_points, moving_average
from arielflow.physics.systems import GRAVITATIONAL_CONSTANT
from arielflow.physics.transmission import Planets, TransmissionModel

# h c / k in um K.
_SECOND_RADIATION_CONSTANT_UM_K = 14387.76877

Values = Mapping[str, Tensor]
"""Parameters by name, each of shape (n,), in SI units."""

Chemistry = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""From log10 metallicity (n,), C/O (n,), temperatures (n, layer) [K] and pressures (layer,) [Pa] to
volume mixing ratios (n, layer, gas)."""


@dataclass(frozen=True)
class TemperatureProfile:
    """How temperature depends on pressure.

    Attributes
    ----------
    kind : str
        ``isothermal``, ``guillot`` or ``points``.
    n_points : int
        Of a profile of points.
    smoothing : float
        Share of the layers that a profile of points is averaged over.
    """

    kind: str = "isothermal"
    n_points: int = 0
    smoothing: float = 0.0

    def __call__(self, values: Values, pressure_pa: Tensor) -> Tensor:
        """Temperatures [K], shape (n,) of an isothermal profile, otherwise (n, layer)."""
        if self.kind == "isothermal":
            return values["temperature"]
        if self.kind == "guillot":
            gravity = GRAVITATIONAL_CONSTANT * values["planet_mass"] / values["planet_radius"] ** 2
            return guillot(
                pressure_pa,
                gravity,
                values["irradiation_temperature"],
                values["internal_temperature"],
                values["infrared_opacity"],
                values["visible_opacity"],
                values.get("second_visible_opacity"),
                values.get("second_share"),
            )
        points = [
            torch.stack([values[f"point_{key}_{n}"] for n in range(self.n_points)], dim=1)
            for key in ("pressure", "temperature")
        ]
        joined = joined_points(pressure_pa, *points)
        smooth = torch.as_tensor(moving_average(len(pressure_pa), self.smoothing))
        return joined @ smooth.T.to(joined.device)


class ParametricModel:
    """Transit depths of one star and planet from named parameters.

    Parameters
    ----------
    transmission
        The radiative transfer, for the gases in its order.
    wavelength_um
        Centres of its bins, where star spots' contrast is taken, shape (wavelength,).
    profile
        Of the temperature.
    chemistry
        Gives the gases' mixing ratios; they are parameters if left out.
    """

    def __init__(
        self,
        transmission: TransmissionModel,
        wavelength_um: Tensor,
        profile: TemperatureProfile | None = None,
        chemistry: Chemistry | None = None,
    ) -> None:
        self.transmission, self.chemistry = transmission, chemistry
        self.profile = profile or TemperatureProfile()
        self._wavelength_um = wavelength_um
        self._pressure_pa = torch.as_tensor(transmission.pressures.layers_pa)

    def with_profile(self, profile: TemperatureProfile) -> ParametricModel:
        """The same model with another profile of the temperature."""
        return ParametricModel(self.transmission, self._wavelength_um, profile, self.chemistry)

    def depths(self, values: Values, *, native: bool = False) -> Tensor:
        """Transit depths (n, wavelength), differentiable; NaN where there is no spectrum.

        Parameters
        ----------
        values
            All parameters by name, shape (n,) each, in SI units.
        native
            On the opacities' own grid instead of the bins.
        """
        depth = self.transmission(self.planets(values), native=native)
        if "spot_fraction" in values:
            wavelength_um = self._wavelength_um
            if native:
                wavelength_um = torch.as_tensor(1e4 / self.transmission.wavenumber_cm1)
            depth = depth * star_spot_factor(values, wavelength_um)
        return depth

    def planets(self, values: Values) -> Planets:
        """The same parameters as the radiative transfer takes them."""
        temperature = self.profile(values, self._pressure_pa)
        haze = values.get("haze_strength")
        return self.transmission.planets(
            values["planet_radius"],
            values["planet_mass"],
            temperature,
            values["star_radius"],
            self._log_mixing_ratio(values, temperature),
            cloud_pressure_pa=values.get("cloud_top_pressure"),
            haze_log_strength=None if haze is None else torch.log10(haze),
            haze_slope=values.get("haze_slope"),
            cloud_fraction=values.get("cloud_fraction"),
        )

    def _log_mixing_ratio(self, values: Values, temperature: Tensor) -> Tensor:
        """Shape (n, gas), or (n, layer, gas) in chemical equilibrium."""
        gases = self.transmission.molecules
        # Logarithms first: that of zero has a slope, which in forward mode would meet the others'.
        given = {gas: torch.log10(values[gas]) for gas in gases if gas in values}
        if self.chemistry is None:
            return torch.stack([given[gas] for gas in gases], dim=1)
        if temperature.ndim == 1:
            temperature = temperature[:, None].expand(-1, len(self._pressure_pa))
        metallicity = torch.log10(values["metallicity"])
        found = self.chemistry(metallicity, values["c_to_o"], temperature, self._pressure_pa)
        layered = torch.log10(found).unbind(dim=2)
        own = [
            given[gas][:, None].expand_as(column) if gas in given else column
            for gas, column in zip(gases, layered, strict=True)
        ]
        return torch.stack(own, dim=2)


def star_spot_factor(values: Values, wavelength_um: Tensor) -> Tensor:
    """Factor (n, wavelength) on the depths that unocculted spots bring about.

    Rackham, Apai & Giampapa (2018, ApJ 853, 122), equation 2, with black bodies.

    Parameters
    ----------
    values
        ``star_temperature``, ``spot_temperature`` [K] and ``spot_fraction``, shape (n,) each.
    wavelength_um
        Shape (wavelength,).
    """
    spot, star = (
        torch.expm1(_SECOND_RADIATION_CONSTANT_UM_K / wavelength_um / values[name][:, None])
        for name in ("spot_temperature", "star_temperature")
    )
    # Planck's functions are inverse to these.
    return 1 / (1 - values["spot_fraction"][:, None] * (1 - star / spot))
