"""Molecules in the names of opacity tables: ``1H2-16O__POKAZATEL``, ``H2O_pokazatel``, ``H3_p``."""

from __future__ import annotations

import re

_SYMBOLS = (
    "H D He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se "
    "Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy "
    "Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U"
)
# What opacities are made of; these names are taken whole before any is put together from parts.
_NAMES = (
    "H2O CO2 CO CH4 NH3 HCN H2S PH3 SO2 SO3 SO SiO SiO2 SiH SiH2 SiH4 SiS TiO VO TiH CrH FeH AlO "
    "AlH AlF AlCl MgO MgH MgF NaH NaCl NaF KCl KF KOH NaOH CaH CaO CaOH CaF LiH LiF LiCl BeH ScH "
    "ZrO YO LaO NO NO2 N2O N2 NH CN CH CH3 C2 C2H2 C2H4 C2H6 C3 C4H2 C6H6 CS CS2 OCS H2CO HC3N "
    "CH3OH CH3Cl CH3F CF4 HCl HF HBr HI HNO3 H2O2 HO2 OH O2 O3 PN PO PS PH SH NS ClO HOCl "
    "Na K Li Rb Cs Fe Ti V Ca Mg Si Al Ni Cr Mn"
)
ELEMENTS, _KNOWN = frozenset(_SYMBOLS.split()), frozenset(_NAMES.split())
_GROUP = re.compile(r"(\d*)((?:[A-Z][a-z]?\d{0,2})+)")
_NATURAL = "NatAbund"
_CHARGES = {"_p": "+", "+": "+", "_n": "-", "_m": "-", "-": "-"}


def formula(name: str) -> str:
    """Chemical formula in a species' name, isotopes left out: ``1H2-16O`` and ``H2O`` are H2O.

    ExoMol writes isotopologues (``12C-16O``), elements of natural composition (``C-O-NatAbund``)
    and charges (``H3_p``); deuterium counts as an element of its own. A name that holds no formula
    is given back as it is.
    """
    species, charge = name.strip(), ""
    for ending, sign in _CHARGES.items():
        if species.endswith(ending):
            species, charge = species.removesuffix(ending), sign
            break
    pieces = species.split("-")
    groups = []
    for piece in pieces:
        group = _elements(piece)
        if group is None:
            break
        groups.append(group)
    if groups and re.match(r"\d", pieces[0]):
        isotopes = [g for g, piece in zip(groups, pieces, strict=False) if piece[0].isdigit()]
        return "".join(isotopes) + charge
    if _NATURAL not in pieces:
        for count in range(len(groups), 0, -1):
            if "".join(groups[:count]) in _KNOWN:
                return "".join(groups[:count]) + charge
    if groups:
        return "".join(groups) + charge
    alike = [known for known in _KNOWN if known.lower() == pieces[0].lower()]
    return alike[0] + charge if len(alike) == 1 else name.strip()


def molecule_of_file(stem: str) -> str:
    """Formula that a file's name begins with, up to the first character that is part of none."""
    found = re.match(r"[A-Za-z0-9+-]+(?:_[pnm](?![A-Za-z0-9]))?", stem)
    return formula(found[0]) if found else stem


def known_formula(stem: str) -> str | None:
    """Formula that a file's name begins with if opacities are made of it, None of other names."""
    found = molecule_of_file(stem)
    return found if found.rstrip("+-") in _KNOWN else None


def _elements(piece: str) -> str | None:
    """A group of elements without its mass number, None if it is something else."""
    found = _GROUP.fullmatch(piece)
    if found is None:
        return None
    mass, group = found.groups()
    if any(symbol not in ELEMENTS for symbol in re.findall(r"[A-Z][a-z]?", group)):
        return None
    return re.sub(r"^H(?![a-z])", "D", group) if mass == "2" else group
