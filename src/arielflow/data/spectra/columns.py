"""What the columns of a spectrum's table hold, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, shown
from arielflow.data.spectra.units import split_name


class Meaning(NamedTuple):
    """What one column holds.

    ``part`` is ``wavelength``, ``width``, ``edge``, ``value``, ``error``, ``instrument``,
    ``limit``, ``planet``, ``limb`` or ``profile``, empty where the name says nothing; ``quantity``
    of a value or error is ``depth``, ``ratio`` or ``eclipse``, ``side`` of an edge or error ``low``
    or ``high``, ``widths`` of a width ``half`` or ``full``, or ``mostly half`` or ``mostly full``
    where that is custom but not said.
    """

    part: str = ""
    quantity: str = ""
    side: str = ""
    widths: str = ""


_LIMB = re.compile(r"morning|evening|limb(?!.?dark)|leading|trailing|terminator")
_LIMB_WORDS = re.compile(
    r"(?i)(?:morning|evening|leading|trailing)[ _-]*(?:limb|terminator)"
    r"|limbs?[ _-]*(?:morning|evening|leading|trailing)"
)
_ERROR = re.compile(r"err|unc|sigma|stdev|(?:^|_)std|±|\+/?-|(?:^|_)e_")
_LOW = re.compile(r"neg|minus|low|(?:^|_)lo$|err2|down")
_HIGH = re.compile(r"pos|plus|upp|(?:^|_|err)up|high|(?:^|_)hi$|err1")
_WAVE = re.compile(r"wave|wvl|wlen|(?:^|_)wl|lambda|^lam|λ|^microns?$|^bin_(?:low|high|min|max)")
_LEFT = re.compile(r"min|low|start|left|begin|(?:^|_)lo$")
_RIGHT = re.compile(r"max|high|upp|(?:^|_)end|right|stop|(?:^|_)hi$")
_WIDTH = re.compile(
    r"width|half|(?:^|_)bw(?:$|_)|delta|δ|Δ|^d_?(?:wave|wl|wvl|lam)|bin_?size|fwhm|hwhm"
)
_HALF = re.compile(r"half|hwhm|(?:^|_)hw(?:$|_)")
_FULL = re.compile(r"full|fwhm")
_MOSTLY_FULL = re.compile(r"band_?width|(?:^|_)bw(?:$|_)")
_SQUARED = re.compile(r"\^\{?2|\*\*2|²|squared|rprs_?2|rp_rs_?2|rp_?2_?/?rs_?2")
_RATIO = re.compile(
    r"r_?p/r|rp_?rs|rprstar|^rp$|^rp_(?:value|err|unc)|^rp[\^*²]|ratror|radius_ratio|^ror|^k(?:_|$)"
)
_ECLIPSE = re.compile(
    r"eclip|f_?p/f|fpfs|^fp(?:$|_)|fp_fs|fp/s|emission|occ(?:ult|_?dep)|secondary|dayside|star_flux_ratio"
)
_DEPTH = re.compile(r"depth|tran(?:s|)dep|dppm|^td(?:_|$)|^yval$|^yerr|transmission_spectrum")
_INSTRUMENT = ("instrument", "instrname", "inst", "offset_group", "group", "detector", "filter")
_PLANET = ("pl_name", "plntname", "planet", "planet_name")
_PROFILE = ("transmission", "throughput", "transmittance", "response")


def meaning(name: str) -> Meaning:
    """What a column of this name holds; an empty meaning where the name says nothing."""
    base, _ = split_name(name)
    key = re.sub(r"[\s-]+(?!uncertainty)", "_", re.sub(r"[${}\\]", "", base).strip().lower())
    key = key.removeprefix("(").replace("(", "").replace(")", "").strip("_")
    simple = _simple_meaning(key)
    if simple is not None:
        return simple
    is_error = _ERROR.search(key) is not None
    if _WAVE.search(key) or _WIDTH.search(key):
        return _wavelength_meaning(key, is_error)
    if _ECLIPSE.search(key):
        quantity = "eclipse"
    elif _RATIO.search(key) or _SQUARED.search(key):
        quantity = "depth" if _SQUARED.search(key) else "ratio"
    elif _DEPTH.search(key):
        quantity = "depth"
    else:
        quantity = ""
    if is_error:
        side = "low" if _LOW.search(key) else "high" if _HIGH.search(key) else ""
        return Meaning("error", quantity, side)
    return Meaning("value", quantity) if quantity else Meaning()


def _simple_meaning(key: str) -> Meaning | None:
    """Meaning of names that stand for themselves."""
    if key.endswith("lim"):
        quantity = "eclipse" if _ECLIPSE.search(key) else "ratio" if _RATIO.search(key) else "depth"
        return Meaning("limit", quantity)
    if key in _INSTRUMENT:
        return Meaning("instrument")
    if key in _PLANET:
        return Meaning("planet")
    if key in _PROFILE:
        return Meaning("profile")
    if _LIMB.search(key):
        return Meaning("limb")
    # Authors, links and the numbers of bins bear the name of what they belong to.
    if key in ("iwave", "response_mode", "mode") or key.endswith(("_authors", "_url", "reflink")):
        return Meaning()
    return None


def _wavelength_meaning(key: str, is_error: bool) -> Meaning:
    if _WIDTH.search(key):
        said = "half" if _HALF.search(key) else "full" if _FULL.search(key) else ""
        return Meaning("width", widths=said or ("mostly full" if _MOSTLY_FULL.search(key) else ""))
    if is_error:  # the "error" of a bin's centre reaches from there to its edges, as a rule
        return Meaning("width", widths="mostly half")
    if _LEFT.search(key):
        return Meaning("edge", side="low")
    if _RIGHT.search(key):
        return Meaning("edge", side="high")
    return Meaning("wavelength")


@dataclass(frozen=True)
class Layout:
    """Positions of the columns that make a spectrum, None where there is no such column.

    ``quantity`` is ``depth``, ``ratio`` or ``eclipse``; ``ratio`` and its errors are kept beside
    depths, since tables give now the one, now the other; ``widths`` is what the width's name says.
    """

    wavelength: int | None
    value: int
    error_low: int
    error_high: int
    quantity: str
    width: int | None = None
    edges: tuple[int, int] | None = None
    instrument: int | None = None
    limit: int | None = None
    planet: int | None = None
    ratio: tuple[int, int, int] | None = None
    widths: str = ""

    @property
    def used(self) -> set[int]:
        """Positions of all columns that are used."""
        more = (*(self.edges or ()), *(self.ratio or ()))
        named = (self.wavelength, self.value, self.error_low, self.error_high, self.width)
        last = (self.instrument, self.limit, self.planet)
        return {place for place in (*named, *last, *more) if place is not None}


def is_header(names: Sequence[str]) -> bool:
    """Whether names are those of a spectrum's table: of wavelengths, and of depths or limbs."""
    found = [meaning(name) for name in names]
    parts = {one.part for one in found}
    return bool(parts & {"wavelength", "edge"}) and bool(parts & {"value", "limb", "profile"})


def layout(where: str, names: Sequence[str], wanted_kind: str | None) -> Layout:
    """Find the columns that make a spectrum.

    Parameters
    ----------
    where
        Begins messages: the file.
    names
        Of the columns.
    wanted_kind
        ``transit`` or ``eclipse`` if it was asked for; it chooses where a table has both.

    Raises
    ------
    ArielflowError
        Columns are missing or ambiguous, or the table holds something else.
    """
    found = [meaning(name) for name in names]
    refuse_limbs(where, names)
    places = {"wavelength": _places(found, "wavelength"), "width": _places(found, "width")}
    low, high = (_places(found, "edge", side=side) for side in ("low", "high"))
    if not places["wavelength"] and not (low and high):
        raise ArielflowError(
            f"{where}: none of its columns ({listed(names, 8)}) is a wavelength; expected a table "
            "of wavelength, depth and error, no other table; name the columns so"
        )
    for what, some in (*places.items(), ("lower edge", low), ("upper edge", high)):
        _refuse_two(where, names, some, what)
    value, quantity = _value(where, names, found, wanted_kind)
    errors = _errors(where, names, found, value, quantity)
    ratio = None
    if quantity == "depth" and len(ratios := _places(found, "value", "ratio")) == 1:
        ratio_errors = _error_places(found, "ratio")
        ratio = (ratios[0], *ratio_errors) if ratio_errors else None
    limits = _places(found, "limit", quantity)
    instruments = _places(found, "instrument")
    width = next(iter(places["width"]), None)
    widths = found[width].widths if width is not None else ""
    if widths and "centralwavelng" in (name.lower() for name in names):
        widths = widths.removeprefix("mostly ")  # the archive defines its BANDWIDTH
    return Layout(
        wavelength=next(iter(places["wavelength"]), None),
        value=value,
        error_low=errors[0],
        error_high=errors[1],
        quantity=quantity,
        width=width,
        edges=(low[0], high[0]) if low and high else None,
        instrument=next(iter(instruments), None),
        limit=next(iter(limits), None),
        planet=next(iter(_places(found, "planet")), None),
        ratio=ratio,
        widths=widths,
    )


def refuse_limbs(where: str, names: Sequence[str]) -> None:
    """Refuse a table whose columns are of one limb each: half a planet is no transit depth.

    Raises
    ------
    ArielflowError
        It is such a table.
    """
    keys = [name.strip().lower() for name in names]
    limbs = [name for name in names if meaning(name).part == "limb"]
    limbs += [name for name, key in zip(names, keys, strict=True) if key in ("rp1", "rp2")]
    if limbs:
        raise ArielflowError(
            f"{where}: column {listed(limbs)} is of a planet's morning or evening limb alone "
            "(catwoman's rp1 and rp2), expected the depth of the whole transit; give the "
            "limb-averaged spectrum"
        )


def refuse_limb_words(where: str, text: str) -> None:
    """Refuse a file whose name or comments speak of one limb, see :func:`refuse_limbs`.

    Raises
    ------
    ArielflowError
        They do.
    """
    if match := _LIMB_WORDS.search(text):
        raise ArielflowError(
            f"{where}: speaks of {shown(repr(match[0]))}, so its values are of a planet's morning "
            "or evening limb alone, expected the depth of the whole transit; give the "
            "limb-averaged spectrum"
        )


def _places(found: Sequence[Meaning], part: str, quantity: str = "", side: str = "") -> list[int]:
    return [
        place
        for place, one in enumerate(found)
        if one.part == part
        and (not quantity or one.quantity == quantity)
        and (not side or one.side == side)
    ]


def _refuse_two(where: str, names: Sequence[str], places: Sequence[int], what: str) -> None:
    if len(places) > 1:
        raise ArielflowError(
            f"{where}: {len(places)} columns could be the {what} "
            f"({listed([names[place] for place in places])}); keep one of them"
        )


def _value(
    where: str, names: Sequence[str], found: Sequence[Meaning], wanted_kind: str | None
) -> tuple[int, str]:
    """Position and quantity of the depths."""
    some = {q: _places(found, "value", q) for q in ("depth", "ratio", "eclipse")}
    if some["eclipse"] and (some["depth"] or some["ratio"]) and wanted_kind is None:
        raise ArielflowError(
            f"{where}: holds transit and eclipse depths; choose with --kind transit or --kind "
            "eclipse"
        )
    order = ("eclipse",) if wanted_kind == "eclipse" and some["eclipse"] else ()
    for quantity in (*order, "depth", "ratio", "eclipse"):
        _refuse_two(where, names, some[quantity], "depth")
        if some[quantity]:
            return some[quantity][0], quantity
    if _places(found, "profile"):
        raise ArielflowError(
            f"{where}: its column {shown(names[_places(found, 'profile')[0]])} is the profile of a "
            "filter, expected a spectrum: depths with errors"
        )
    raise ArielflowError(
        f"{where}: none of its columns ({listed(names, 8)}) is a transit or eclipse depth; "
        "expected a name such as depth_ppm, (Rp/Rs)^2, rprs or eclipse_depth"
    )


def _errors(
    where: str, names: Sequence[str], found: Sequence[Meaning], value: int, quantity: str
) -> tuple[int, int]:
    """Positions of the lower and the upper error."""
    wider = ("depth",) if quantity == "eclipse" else ()
    for wanted in (quantity, *wider, None):
        places = _error_places(found, wanted)
        if places:
            return places
        plain = [p for p in _places(found, "error") if (found[p].quantity or None) == wanted]
        if len(plain) > 1:
            _refuse_two(where, names, plain, f"error of {shown(names[value])}")
    raise ArielflowError(
        f"{where}: no column is the error of {shown(names[value])} among {listed(names, 8)}; a "
        "spectrum without errors cannot be retrieved, name a column error"
    )


def _error_places(found: Sequence[Meaning], quantity: str | None) -> tuple[int, int] | None:
    """Lower and upper error of a quantity, None: errors that name none; None if not clear."""
    sides: dict[str, list[int]] = {"low": [], "high": [], "": []}
    for place, one in enumerate(found):
        if one.part == "error" and (one.quantity or None) == quantity:
            sides[one.side].append(place)
    if len(sides["low"]) == len(sides["high"]) == 1:
        return sides["low"][0], sides["high"][0]
    if len(sides[""]) == 1:
        return sides[""][0], sides[""][0]
    only = sides["low"] + sides["high"] + sides[""]
    return (only[0], only[0]) if len(only) == 1 else None
