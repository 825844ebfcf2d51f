"""Units, widths and kind of a spectrum: what the file says, what options say, what is asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed
from arielflow.data.spectra.columns import Layout
from arielflow.data.spectra.spectrum import KINDS, Kind, Widths
from arielflow.data.spectra.table import SourceTable
from arielflow.data.spectra.units import (
    DEPTH_UNITS,
    WAVELENGTH_UNITS,
    depth_unit,
    likely_wavelength_units,
    split_name,
    unknown_unit,
    wanted_unit,
    wavelength_unit,
)
from arielflow.data.spectra.widths import told_by_spacing

_ARCHIVE_UM = re.compile(r"(?i)^(?:centralwavelng|bandwidth)$")
_ARCHIVE_PERCENT = re.compile(r"(?i)^(?:pl_|plnt?|spec|e?spec?)?(?:trans?dep|eclipdep|lipdep)")
_SQUARED = re.compile(r"\^\{?2|\*\*2|²|2$")
_ECLIPSE_WORDS = re.compile(r"[a-z]*(?:emis|eclips|dayside)[a-z]*", re.I)
_TRANSIT_WORDS = re.compile(r"[a-z]*trans[im][a-z]*", re.I)
_UNSTATED_UM = (0.2, 30.0)


class ContradictionError(ArielflowError):
    """An option that says otherwise than its file.

    Parameters
    ----------
    what
        The file, and what it says.
    option, value
        Name of the option among :class:`Options`, and what it says.
    """

    def __init__(self, what: str, option: str, value: str) -> None:
        self.option, self.flag = option, f"--{option.replace('_', '-')}"
        super().__init__(f"{what}, {self.flag} {value} contradicts it; leave the option out")


@dataclass(frozen=True)
class Options:
    """What the user says about a file, or about several; None where it is left to the file.

    Raises
    ------
    ArielflowError
        A word is none of those that are known.
    """

    wavelength_unit: str | None = None
    depth_unit: str | None = None
    widths: str | None = None
    kind: str | None = None
    several: bool = False

    def __post_init__(self) -> None:
        for quantity in ("wavelength", "depth"):
            name = f"{quantity}_unit"
            unit = wanted_unit(getattr(self, name), quantity)  # type: ignore[arg-type]
            object.__setattr__(self, name, unit)
        for name, known in (("widths", ("full", "half")), ("kind", KINDS)):
            word = getattr(self, name)
            if word is not None and word not in known:
                raise ArielflowError(f"--{name} {word!r}: choose {' or '.join(known)}")


@dataclass(frozen=True)
class Units:
    """Units of a spectrum's columns, and what was understood of them, in words.

    ``depth_assumed``: neither the file nor an option states that of the depths.
    """

    wavelength: str
    width: str
    depth: str
    error: str
    depth_assumed: bool
    notes: tuple[str, ...]


def resolve_units(table: SourceTable, columns: Layout, options: Options) -> Units:
    """Units of the columns: stated by the file or by options, never guessed unsaid.

    A header that states one of the two units and leaves the other out is understood: depths
    without a unit are fractions, as pure numbers are, and wavelengths between 0.2 and 30 are
    micrometres; both are noted.

    Raises
    ------
    ArielflowError
        A unit is not known, an option contradicts the file, or units have to be asked for.
    """
    of_wave = [columns.wavelength, *(columns.edges or ())]
    places = [place for place in of_wave if place is not None]
    wave = next(filter(None, (_stated(table, place, "wavelength") for place in places)), None)
    _refuse_conflict(table, places[0], wave, options.wavelength_unit, "wavelength")
    depth, implied = _depth_unit(table, columns)
    _refuse_conflict(table, columns.value, depth, options.depth_unit, "depth")
    if implied and options.depth_unit == "rp/rs":
        title = table.title(columns.value)
        raise ContradictionError(f"{table.path}: column {title} is squared", "depth_unit", "rp/rs")
    chosen_wave, chosen_depth = options.wavelength_unit or wave, options.depth_unit or depth
    chosen_depth = chosen_depth or implied
    notes: list[str] = []
    if not chosen_wave and not chosen_depth:
        what = "states no units" if table.names else "has no header and states no units"
        raise ArielflowError(
            f"{table.path}: {what}; give --wavelength-unit ({', '.join(WAVELENGTH_UNITS)}) and "
            f"--depth-unit ({', '.join(DEPTH_UNITS)})"
        )
    if not chosen_wave:
        chosen_wave = _unstated_wavelengths(table, places, bool(depth or implied))
        low, high = _UNSTATED_UM
        notes.append(
            f"wavelengths state no unit: um, the only one that puts them between {low:g} and "
            f"{high:g} um"
        )
    if assumed := not chosen_depth:
        chosen_depth, words = _unstated_depths(table, columns.value, wave is not None)
        notes.append(words)
    error = _error_unit(table, columns, chosen_depth)
    width = None if columns.width is None else _stated(table, columns.width, "wavelength")
    return Units(chosen_wave, width or chosen_wave, chosen_depth, error, assumed, tuple(notes))


def _unstated_depths(table: SourceTable, place: int, wavelengths_stated: bool) -> tuple[str, str]:
    """Fractions, and words about that, if the header states units where there are some."""
    if not wavelengths_stated or not table.names or unknown_unit(table.names[place]):
        raise ArielflowError(
            f"{table.path}: states no unit of its depths; give --depth-unit "
            f"({', '.join(DEPTH_UNITS)})"
        )
    title = table.title(place)
    return "fraction", f"column {title} states no unit beside wavelengths that do: a fraction"


def _error_unit(table: SourceTable, columns: Layout, depth: str) -> str:
    """Unit of the errors: what both of them state, else that of the depths."""
    places = (columns.error_low, columns.error_high)
    low, high = (_stated(table, place, "depth") or depth for place in places)
    if low != high or ("rp/rs" in (low, depth) and low != depth):
        raise ArielflowError(
            f"{table.path}: depths in {depth}, errors {table.title(columns.error_low)} in {low} "
            f"and {table.title(columns.error_high)} in {high}; give them in one unit"
        )
    return low


def _stated(table: SourceTable, place: int, quantity: str) -> str | None:
    """The unit that a column states: in its header, inside its name, or by being the archive's.

    Raises
    ------
    ArielflowError
        The file states a unit that is not known.
    """
    if not table.names:
        return None
    name, unit = table.names[place], table.units[place]
    base, inside = split_name(name)
    parse = wavelength_unit if quantity == "wavelength" else depth_unit
    for text in (unit, inside):
        if text.strip() and text.strip().lower() not in ("none", "-", "--"):
            found = parse(text, formal=True)
            if found is None:
                raise ArielflowError(
                    f"{table.path}: column {table.title(place)} has the unit {listed([text])}, no "
                    f"known unit of a {quantity}; expected one of "
                    f"{', '.join(WAVELENGTH_UNITS if quantity == 'wavelength' else DEPTH_UNITS)}"
                )
            return found
    if quantity == "wavelength":
        return "um" if _ARCHIVE_UM.match(base) else None
    return "percent" if _ARCHIVE_PERCENT.match(base) else None


def _depth_unit(table: SourceTable, columns: Layout) -> tuple[str | None, str | None]:
    """Unit of the depths that the file states, and the one that a squared ratio's name implies."""
    stated = _stated(table, columns.value, "depth")
    if columns.quantity == "ratio":
        if stated not in (None, "fraction", "rp/rs"):
            raise ArielflowError(
                f"{table.path}: column {table.title(columns.value)} is a radius ratio in {stated}, "
                "expected a pure number; give the depth in its place"
            )
        return "rp/rs", None
    if stated or not table.names:
        return stated, None
    base, _ = split_name(table.names[columns.value])
    name = re.sub(r"_(?:value|mean|median)$", "", base.strip().lower())
    squared = _SQUARED.search(name) is not None or re.search(r"f_?p_?/?_?[fs]|^fp$", name)
    return None, "fraction" if squared else None


def _refuse_conflict(
    table: SourceTable, place: int, stated: str | None, wanted: str | None, quantity: str
) -> None:
    if stated and wanted and stated != wanted:
        what = f"{table.path}: column {table.title(place)} is in {stated}"
        raise ContradictionError(what, f"{quantity}_unit", wanted)


def _unstated_wavelengths(table: SourceTable, places: list[int], depths_stated: bool) -> str:
    """Micrometres, if the wavelengths can be nothing else beside depths that state their unit."""
    values = np.concatenate([table.numbers(place) for place in places])
    values = values[np.isfinite(values)]
    likely = likely_wavelength_units(values, *_UNSTATED_UM) if len(values) else []
    named = bool(table.names) and not any(unknown_unit(table.names[place]) for place in places)
    if named and depths_stated and likely == ["um"]:
        return "um"
    hint = f", which look like {' or '.join(likely)}" if likely else ""
    raise ArielflowError(
        f"{table.path}: states no unit of its wavelengths{hint}; give --wavelength-unit "
        f"({', '.join(WAVELENGTH_UNITS)})"
    )


def resolve_widths(
    table: SourceTable,
    columns: Layout,
    options: Options,
    centres: np.ndarray,
    widths: np.ndarray,
    labels: list[str],
) -> tuple[Widths, str]:
    """Whether a column of widths holds full or half ones, and the words for how it is known.

    What the name or the format says counts first, then the option, then the bins that touch.

    Parameters
    ----------
    table, columns, options
        The file and what is known of it.
    centres, widths
        Of the bins (row,), in one unit, in the file's order.
    labels
        Instruments (row,).

    Raises
    ------
    ArielflowError
        An option contradicts the file, or nothing tells.
    """
    told, ratio = told_by_spacing(centres, widths, labels)
    said = table.widths if table.fixes_widths else columns.widths
    custom = table.widths or said.removeprefix("mostly ")
    said = "" if said.startswith("mostly") else said
    title = table.title(cast(int, columns.width))
    known = said or (told if options.several else "")
    if known and options.widths and known != options.widths:
        what = f"{table.path}: column {title} holds {known} widths"
        raise ContradictionError(what, "widths", options.widths)
    chosen = said or options.widths or told or custom
    if not chosen:
        seen = f", {ratio:.2g} of the distance between neighbours" if np.isfinite(ratio) else ""
        raise ArielflowError(
            f"{table.path}: column {title} does not say whether its widths are full or half, nor "
            f"do the bins{seen}; give --widths full or --widths half"
        )
    source = "the file says so"
    if not said:
        source = "the bins touch so" if told else "the format's custom"
        source = "--widths" if options.widths else source
    words = f"{chosen} widths in column {title} ({source})"
    if not said and custom and told and custom != told:
        words += f"; columns of that name mostly hold {custom} ones"
    if told and told != chosen:
        words += f"; neighbouring bins would touch if they were {told} widths"
    return cast(Widths, chosen), words


def resolve_kind(table: SourceTable, columns: Layout, options: Options) -> tuple[Kind, str]:
    """Transit or eclipse, and words where it was not stated.

    Raises
    ------
    ArielflowError
        The option contradicts the file.
    """
    name = table.names[columns.value] if table.names else ""
    said = table.kind or ("eclipse" if columns.quantity == "eclipse" else "")
    if not said and (
        columns.quantity == "ratio" or re.search(r"trans?(?:it|m|dep)|r_?p", name, re.I)
    ):
        said = "transit"
    if said and options.kind and said != options.kind:
        raise ContradictionError(f"{table.path}: holds {said} depths", "kind", options.kind)
    if said or options.kind:
        return cast(Kind, said or options.kind), ""
    for where, text in (("name", table.path.stem), ("comments", table.comments)):
        eclipse, transit = _ECLIPSE_WORDS.search(text), _TRANSIT_WORDS.search(text)
        if eclipse and not transit:
            return "eclipse", f"eclipse depths: the file's {where} says {eclipse[0]!r}"
        if transit and not eclipse:
            return "transit", f"transit depths: the file's {where} says {transit[0]!r}"
    return "transit", "taken for transit depths, nothing speaks of an eclipse (--kind)"
