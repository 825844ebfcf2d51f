"""What is found in a submission: faults by planet, grouped for people, and wrong planets."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, shown
from arielflow.editions import NAMES, Edition, get_edition

log = logging.getLogger(__name__)

_MOST_LISTED = 5_000
_FOLDED_ABOVE = 5


class Fault(NamedTuple):
    """What is wrong with a planet, or with the file where no planet is named."""

    planet: str
    what: str

    def __str__(self) -> str:
        return f"{shown(self.planet)}: {self.what}" if self.planet else self.what


@dataclass(frozen=True)
class Verdict:
    """What was found in a submission; it is valid without faults, whatever the warnings."""

    faults: list[Fault]
    warnings: list[str]

    @property
    def fault_lines(self) -> list[str]:
        """Every fault, up to some thousands."""
        more = len(self.faults) - _MOST_LISTED
        return [*map(str, self.faults[:_MOST_LISTED]), *([f"and {more} more"] * (more > 0))]

    @property
    def folded_lines(self) -> list[str]:
        """The faults for people: one line where many planets have the same fault."""
        kinds: dict[str, list[Fault]] = {}
        for fault in self.faults:
            kinds.setdefault(re.sub(r"\d[\d.e+-]*", "#", fault.what), []).append(fault)
        lines = []
        for faults in kinds.values():
            if len(faults) > _FOLDED_ABOVE:
                lines.append(f"{faults[0]} (and {len(faults) - 1} more planets with this fault)")
            else:
                lines += map(str, faults)
        more = len(lines) - _MOST_LISTED
        return [*lines[:_MOST_LISTED], *([f"and {more} more"] * (more > 0))]


def refused(what: str) -> Verdict:
    """The verdict on a file that cannot be looked into: nothing but why."""
    return Verdict([Fault("", what)], [])


def pairing_faults(
    found: Sequence[str], expected: Sequence[str], source: str, edition: Edition | None = None
) -> list[Fault]:
    """Planets that are missing from a file, and what is in it besides; one line if most are.

    Parameters
    ----------
    found, expected
        Names of planets, each once.
    source
        What the expected ones are of, for the messages.
    edition
        Whose planets have telling names, so that the message says whose others look like.
    """
    wanted, present = set(expected), set(found)
    missing = [name for name in expected if name not in present]
    surplus = [name for name in found if name not in wanted]
    if len(missing) * 2 <= len(expected):
        return [
            *(Fault(name, "planet is missing") for name in missing),
            *(Fault(name, f"planet is not in {source}") for name in surplus),
        ]
    n_there = len(expected) - len(missing)
    what = f"the file holds {f'only {n_there}' if n_there else 'none'} of the {len(expected)} "
    what += f"planets of {source}"
    if surplus:
        alike = _look_like(surplus, expected, edition) if edition else ""
        what += f", but {listed(surplus, 3)}{alike}"
    else:
        what += f"; {listed(missing, 3)} are missing"
    return [Fault("", what)]


def _look_like(names: Sequence[str], expected: Sequence[str], edition: Edition) -> str:
    """The data set that unexpected planets seem to belong to."""
    prefix = edition.group("")
    kinds: dict[str, str] = {}
    for other in map(get_edition, NAMES):
        for split, template in other.identifier_templates.items():
            whose = f"edition {other.name}'s {split} planets"
            if len(set(other.identifier_templates.values())) == 1:
                whose = f"edition {other.name}'s planets"
            kinds.setdefault(re.escape(template).replace(r"\{n\}", r"\d+"), whose)
    for pattern, whose in kinds.items():
        like = [
            all(re.fullmatch(pattern, name.removeprefix(prefix)) for name in group)
            for group in (names, expected)
        ]
        if like == [True, False]:
            return f": these look like {whose}"
    return ""


def require_valid(verdict: Verdict, path: str | Path) -> None:
    """Refuse a submission with faults; log what is implausible about another.

    Raises
    ------
    ArielflowError
        The submission has a fault.
    """
    if verdict.faults:
        first = str(verdict.faults[0]).removeprefix(f"{path}: ")
        raise ArielflowError(
            f"{path}: {first} ({len(verdict.faults)} faults in all); arielflow "
            "validate-submission lists them"
        )
    for line in verdict.warnings:
        log.warning("%s: %s", path, line)
