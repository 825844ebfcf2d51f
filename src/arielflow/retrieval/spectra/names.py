"""What the parameters of a retrieval are called: in words, and as symbols beside figures."""

from __future__ import annotations

import re

from arielflow.core.readers import shown
from arielflow.data.description.parameters import Parameter

_LONGEST = 14
_NAMES = {
    "star_radius": ("radius of the star", r"$R_\star$"),
    "star_temperature": ("temperature of the star", r"$T_\star$"),
    "planet_mass": ("mass of the planet", r"$M_\mathrm{p}$"),
    "planet_radius": ("radius of the planet", r"$R_\mathrm{p}$"),
    "temperature": ("temperature", r"$T$"),
    "irradiation_temperature": ("irradiation temperature", r"$T_\mathrm{irr}$"),
    "internal_temperature": ("internal temperature", r"$T_\mathrm{int}$"),
    "infrared_opacity": ("mean infrared opacity", r"$\kappa_\mathrm{IR}$"),
    "visible_opacity": ("mean visible opacity", r"$\kappa_\mathrm{vis}$"),
    "second_visible_opacity": ("second mean visible opacity", r"$\kappa_\mathrm{vis,2}$"),
    "second_share": ("share of the second visible opacity", r"$\alpha$"),
    "metallicity": ("metallicity, in solar abundances", r"$Z$"),
    "c_to_o": ("ratio of carbon to oxygen", "C/O"),
    "cloud_top_pressure": ("pressure of the cloud top", r"$P_\mathrm{cloud}$"),
    "cloud_fraction": ("share of the limb under clouds", r"$f_\mathrm{cloud}$"),
    "haze_strength": ("strength of the haze over H2's scattering", r"$s_\mathrm{haze}$"),
    "haze_slope": ("power of the wavelength of the haze", r"$\gamma_\mathrm{haze}$"),
    "spot_temperature": ("temperature of the star spots", r"$T_\mathrm{spot}$"),
    "spot_fraction": ("share of the star's disk under spots", r"$f_\mathrm{spot}$"),
}
_POINT = re.compile(r"point_(pressure|temperature)_(\d+)")
_INSTRUMENT = re.compile(r"(offset|error_factor|jitter)\[(.*)\]", re.DOTALL)
_OF_INSTRUMENTS = {
    "offset": ("offset of", "offset"),
    "error_factor": ("factor on the errors of", "error factor"),
    "jitter": ("error added in quadrature to", "jitter"),
}


def long_name(name: str) -> str:
    """A parameter of the forward model or of an instrument in words."""
    if name in _NAMES:
        return _NAMES[name][0]
    if match := _POINT.fullmatch(name):
        return f"{match[1]} of point {match[2]} from the bottom"
    if match := _INSTRUMENT.fullmatch(name):
        return f"{_OF_INSTRUMENTS[match[1]][0]} {shown(match[2])}"
    return f"volume mixing ratio of {name}"


def sampled_long_name(parameter: Parameter) -> str:
    """What is sampled of a parameter in words, its unit left out."""
    words = long_name(parameter.name)
    return f"log10 of the {words}" if parameter.prior == "log_uniform" else words


def label(parameter: Parameter) -> str:
    """What is sampled of a parameter as matplotlib writes it at an axis, with its unit.

    What belongs to an instrument has two lines, the second with the instrument's name.
    """
    start = "log " if parameter.prior == "log_uniform" else ""
    unit = f" [{parameter.unit}]" if parameter.unit else ""
    if match := _INSTRUMENT.fullmatch(parameter.name):
        # A dollar sign would begin a formula.
        instrument = _cut(match[2]).replace("$", r"\$")
        return f"{start}{_OF_INSTRUMENTS[match[1]][1]}{unit}\n{instrument}"
    return f"{start}{_symbol(parameter.name)}{unit}"


def _symbol(name: str) -> str:
    if name in _NAMES:
        return _NAMES[name][1]
    if match := _POINT.fullmatch(name):
        return f"${match[1][0].upper()}_{{{match[2]}}}$"
    return re.sub(r"(\d+)", r"$_{\1}$", name)


def _cut(name: str) -> str:
    name = shown(name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
