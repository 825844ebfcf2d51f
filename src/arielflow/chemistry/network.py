"""A gas-phase reaction network of hydrogen, helium, carbon and oxygen, with published rates.

``reactions.csv`` holds 310 reactions of 32 species, each with its source: those of the UMIST
database RATE22 (Millar et al. 2024, A&A 682, A109) among these species whose range begins below
500 K, and the formation of H2 on grains (Jura 1975, ApJ 197, 575). The gas is shielded from
starlight, so that light comes from cosmic rays alone.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.settings.chemistry import Conditions

REACTIONS = Path(__file__).with_name("reactions.csv")
FORMS = ("arrhenius", "cosmic_ray", "cosmic_ray_photon", "grain_surface")
ELEMENTS = ("H", "He", "C", "O")
ELECTRON = "e-"
_COLUMNS = ("reactants", "products", "form", "alpha", "beta", "gamma", "source")
_REFERENCE_TEMPERATURE_K = 300.0
# UMIST gives the rates of cosmic rays for this ionisation rate, and this albedo of the grains.
_REFERENCE_IONISATION_S = 1.3e-17
_GRAIN_ALBEDO = 0.5
_MOST_REACTANTS = {"arrhenius": 2, "cosmic_ray": 1, "cosmic_ray_photon": 1, "grain_surface": 2}


@dataclass(frozen=True)
class Reaction:
    """One reaction with the constants of its rate.

    ``arrhenius``: alpha (T/300 K)^beta exp(-gamma/T) [cm^3 s^-1]; ``cosmic_ray``: alpha [s^-1];
    ``cosmic_ray_photon``: alpha (T/300 K)^beta gamma/(1 - albedo) [s^-1], both times the ionisation
    rate over 1.3e-17 s^-1; ``grain_surface``: alpha [cm^3 s^-1] per hydrogen nucleus, of the first
    order in the one species that it turns.
    """

    reactants: tuple[str, ...]
    products: tuple[str, ...]
    form: str
    alpha: float
    beta: float
    gamma: float
    source: str

    @property
    def text(self) -> str:
        """The reaction as chemists write it."""
        return f"{' + '.join(self.reactants)} → {' + '.join(self.products)}"


def composition(species: str) -> Counter[str]:
    """Atoms of each element, and the ``charge``, of a species such as ``H3O+``.

    Raises
    ------
    ArielflowError
        The formula has a part that is no element of the network.
    """
    found: Counter[str] = Counter(charge=species.count("+") - species.count("-"))
    if species == ELECTRON:
        return found
    formula = species.rstrip("+-")
    parts = re.findall(r"(He|H|C|O)(\d*)", formula)
    if "".join(element + number for element, number in parts) != formula:
        raise ArielflowError(
            f"chemistry: species {species!r} is not made of {', '.join(ELEMENTS)}; correct it"
        )
    for element, number in parts:
        found[element] += int(number or 1)
    return found


def read_reactions(path: str | Path = REACTIONS) -> list[Reaction]:
    """Read a table of reactions.

    Parameters
    ----------
    path
        CSV file with the columns ``reactants, products, form, alpha, beta, gamma, source``.

    Raises
    ------
    ArielflowError
        The file is missing, a column or a form is unknown, a number is none, or a reaction does
        not conserve the elements and the charge.
    """
    try:
        with Path(path).open(newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        raise ArielflowError(f"{path}: no such table of reactions; give one that exists") from None
    if not rows or set(rows[0]) != set(_COLUMNS):
        raise ArielflowError(f"{path}: expected rows with the columns {', '.join(_COLUMNS)}")
    return [_reaction(row, f"{path}: line {line}") for line, row in enumerate(rows, start=2)]


def _reaction(row: dict[str, str], where: str) -> Reaction:
    sides = (tuple(row[side].split(" + ")) for side in ("reactants", "products"))
    try:
        numbers = [float(row[name]) for name in ("alpha", "beta", "gamma")]
    except ValueError as error:
        raise ArielflowError(f"{where}: {error}; correct the rate") from None
    reaction = Reaction(*sides, row["form"], *numbers, row["source"])
    if reaction.form not in FORMS:
        raise ArielflowError(
            f"{where}: form {reaction.form!r} is unknown; choose {', '.join(FORMS)}"
        )
    if len(reaction.reactants) > _MOST_REACTANTS[reaction.form]:
        raise ArielflowError(f"{where}: too many reactants of a {reaction.form}: {reaction.text}")
    before, after = (sum(map(composition, side), Counter()) for side in _sides(reaction))
    charge = [sum(composition(s)["charge"] for s in side) for side in _sides(reaction)]
    if charge[0] != charge[1] or any(before[name] != after[name] for name in ELEMENTS):
        raise ArielflowError(f"{where}: {reaction.text} does not conserve elements and charge")
    return reaction


def _sides(reaction: Reaction) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return reaction.reactants, reaction.products


class Network:
    """Rate equations of a set of reactions under fixed conditions.

    Abundances y are numbers per hydrogen nucleus, shape (…, species).

    Parameters
    ----------
    reactions
        See :func:`read_reactions`.
    conditions
        Temperature, density and ionisation of the gas.

    Attributes
    ----------
    species : list of str
        Names, in the order of the abundances' last axis.
    stoichiometry
        Molecules that a reaction makes of a species, shape (reaction, species).
    rate
        Coefficients (reaction,) for abundances per hydrogen nucleus [s^-1].
    """

    def __init__(self, reactions: list[Reaction], conditions: Conditions) -> None:
        self.reactions, self.conditions = reactions, conditions
        self.species = sorted({s for r in reactions for side in _sides(r) for s in side})
        place = {name: i for i, name in enumerate(self.species)}
        self.stoichiometry = np.zeros((len(reactions), len(self.species)))
        # The column behind the species is one always: the partner of a lone reactant.
        self._pair = np.full((len(reactions), 2), len(self.species))
        for row, reaction in enumerate(reactions):
            for sign, side in zip((-1, 1), _sides(reaction), strict=True):
                for name in side:
                    self.stoichiometry[row, place[name]] += sign
            order = 1 if reaction.form == "grain_surface" else len(reaction.reactants)
            for i, name in enumerate(reaction.reactants[:order]):
                self._pair[row, i] = place[name]
        self.rate = np.array([self._rate(reaction) for reaction in reactions])

    def _rate(self, reaction: Reaction) -> float:
        conditions = self.conditions
        warmth = (conditions.temperature_k / _REFERENCE_TEMPERATURE_K) ** reaction.beta
        rays = conditions.ionisation_s / _REFERENCE_IONISATION_S
        if reaction.form == "arrhenius":
            barrier = np.exp(-reaction.gamma / conditions.temperature_k)
            return reaction.alpha * warmth * barrier * conditions.density_cm3
        if reaction.form == "cosmic_ray":
            return reaction.alpha * rays
        if reaction.form == "cosmic_ray_photon":
            return reaction.alpha * warmth * reaction.gamma / (1 - _GRAIN_ALBEDO) * rays
        return reaction.alpha * conditions.density_cm3

    def derivative(self, y: np.ndarray) -> np.ndarray:
        """Time derivative [s^-1] of abundances, shape (…, species)."""
        padded = np.concatenate([y, np.ones((*y.shape[:-1], 1))], axis=-1)
        flux = self.rate * padded[..., self._pair[:, 0]] * padded[..., self._pair[:, 1]]
        return flux @ self.stoichiometry

    def jacobian(self, y: np.ndarray) -> np.ndarray:
        """Derivative (species, species) of :meth:`derivative` by the abundances (species,)."""
        padded = np.append(y, 1.0)
        slope = np.zeros((len(self.rate), len(padded)))
        rows = np.arange(len(self.rate))
        for own, other in ((0, 1), (1, 0)):
            # Added, not assigned: a species may react with itself.
            slope[rows, self._pair[:, own]] += self.rate * padded[self._pair[:, other]]
        return self.stoichiometry.T @ slope[:, :-1]

    def totals(self, y: np.ndarray) -> dict[str, np.ndarray]:
        """Atoms of every element and ``charge`` per hydrogen nucleus, each of shape (…,)."""
        made = [composition(name) for name in self.species]
        return {name: y @ [m[name] for m in made] for name in (*ELEMENTS, "charge")}
