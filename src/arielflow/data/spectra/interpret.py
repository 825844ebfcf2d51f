"""From a file's table to an observed spectrum."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed, shown
from arielflow.data.spectra.columns import Layout, layout, refuse_limb_words
from arielflow.data.spectra.points import (
    USUAL_DEPTHS,
    Points,
    drop_impossible,
    drop_repeated,
    refuse_absurd,
)
from arielflow.data.spectra.spectrum import ObservedSpectrum, Widths
from arielflow.data.spectra.stated import (
    ContradictionError,
    Options,
    Units,
    resolve_kind,
    resolve_units,
    resolve_widths,
)
from arielflow.data.spectra.table import SourceTable, is_number
from arielflow.data.spectra.units import (
    error_to_fraction,
    to_fraction,
    to_micrometres,
    width_to_micrometres,
)
from arielflow.data.spectra.widths import from_neighbours, layout_without_names


@np.errstate(all="ignore")  # what overflows is no number of a spectrum and refused, or dropped
def interpret(table: SourceTable, options: Options, instrument: str) -> ObservedSpectrum:
    """The spectrum that a table holds.

    Parameters
    ----------
    table
        As its file has it.
    options
        What the user says about it.
    instrument
        Name of the points whose instrument the file does not name.

    Raises
    ------
    ArielflowError
        The table is no spectrum, has to be asked about, is contradicted by an option, or holds
        numbers that no spectrum has.
    """
    where = str(table.path)
    refuse_limb_words(where, f"{table.path.stem}\n{table.comments}")
    if table.names:
        columns, words = layout(where, table.names, options.kind), ""
    else:
        columns, words = layout_without_names(table)
        if words.endswith("width"):
            table = replace(table, widths="full")  # TauREx's own order
    units = resolve_units(table, columns, options)
    kind, kind_words = resolve_kind(table, columns, options)
    _refuse_planets(table, columns)
    labels, label_words = _labels(table, columns, instrument)
    notes = [_understood(table, columns, units, words), *table.notes, *units.notes]
    notes += _flagged(table)
    notes += [words for words in (kind_words, label_words) if words]
    points, source, widths, more = _points(table, columns, options, units, labels)
    notes += more
    taken_for = units.wavelength, units.depth
    refuse_absurd(where, points, kind, source, taken_for, assumed=units.depth_assumed)
    middle = float(np.nanmedian(points.depth))
    if middle > USUAL_DEPTHS[1]:
        notes.append(f"a median depth of {100 * middle:.3g} % is rare; a radius ratio? (rp/rs)")
    points, dropped = drop_impossible(where, points, kind)
    points, repeated = drop_repeated(points)
    notes += [*dropped, *repeated]
    width_um = points.width_um
    if widths == "none":
        width_um = from_neighbours(where, points.wavelength_um, points.labels)
        notes.append("no widths in the file: bins reach half-way to their neighbours")
    elif (too_wide := width_um >= 2 * points.wavelength_um).any():
        raise ArielflowError(
            f"{where}: the bin at {points.wavelength_um[too_wide][0]:.4g} um is "
            f"{width_um[too_wide][0]:.4g} um wide, expected less than twice its wavelength; check "
            "the widths' unit and column"
        )
    if len(points) > 1 and (np.diff(points.wavelength_um) < 0).all():
        notes.append("sorted by wavelength; the file descends")
    return ObservedSpectrum(
        points.wavelength_um,
        width_um,
        points.depth,
        points.error_low,
        points.error_high,
        points.labels,
        kind=kind,
        widths=widths,
        files=(where,),
        notes=tuple(notes),
    )


def _understood(table: SourceTable, columns: Layout, units: Units, words: str) -> str:
    """Which columns were taken for what, in which units."""
    if not table.names:
        return f"{table.form}, no header; columns: {words} [{units.wavelength}, {units.depth}]"
    wave = [columns.wavelength] if columns.wavelength is not None else list(columns.edges or ())
    errors = list(dict.fromkeys((columns.error_low, columns.error_high)))
    parts = [
        f"wavelength {' to '.join(table.title(place) for place in wave)} [{units.wavelength}]",
        f"depth {table.title(columns.value)} [{units.depth}]",
        f"error {' and '.join(table.title(place) for place in errors)} [{units.error}]",
    ]
    unused = [n for p, n in enumerate(table.names) if n and p not in columns.used]
    rest = f"; not used: {listed(unused, 8)}" if unused else ""
    return f"{table.form}; {', '.join(parts)}{rest}"


def _refuse_planets(table: SourceTable, columns: Layout) -> None:
    if columns.planet is None:
        return
    planets = sorted({name for name in table.texts(columns.planet) if name})
    if len(planets) > 1:
        raise ArielflowError(
            f"{table.path}: holds {len(planets)} planets ({listed(planets)}); keep the rows of one"
        )


def _labels(table: SourceTable, columns: Layout, instrument: str) -> tuple[list[str], str]:
    """Instrument of each row: the file's own names, else the one that is given."""
    place = columns.instrument
    if place is None:
        return [name or instrument for name in table.labels or ("",) * len(table)], ""
    title = shown(table.names[place]) if table.names else "group"
    named = []
    for text in (" ".join(text.split()) for text in table.texts(place)):
        if re.fullmatch(r"[0-9]+(?:\.0*)?", text):  # the number of a group needs a word
            text = f"{title} {text.partition('.')[0]}"
        named.append(instrument if is_number(text) else text)
    return named, f"instruments by column {table.title(place)}"


def _flagged(table: SourceTable) -> list[str]:
    """Words about columns of flags, whose meaning no format fixes: their points are kept."""
    notes = []
    for place, name in enumerate(table.names):
        if re.fullmatch(r"(?i)quality|flags?|dq|ignore", name.strip()):
            texts = table.texts(place)
            count = sum(text not in ("", "0", "0.0", "False", "false") for text in texts)
            if count:
                notes.append(f"column {shown(name)} flags {count} of {len(texts)} points; all kept")
    return notes


def _points(
    table: SourceTable, columns: Layout, options: Options, units: Units, labels: list[str]
) -> tuple[Points, tuple[np.ndarray, np.ndarray], Widths, list[str]]:
    """Converted points, wavelengths and depths as the file has them, its widths, and words."""
    wave, wave_um, width_um, widths, notes = _bins(table, columns, options, units, labels)
    value = table.numbers(columns.value)
    low, high = table.numbers(columns.error_low), table.numbers(columns.error_high)
    if columns.error_low != columns.error_high and np.all((low <= 0) | np.isnan(low)):
        low = -low  # lower errors written with their sign, as the archive does
    depth = to_fraction(value, units.depth)
    errors = [error_to_fraction(side, value, units.error) for side in (low, high)]
    if units.depth == "rp/rs":
        notes.append("radius ratios squared, their errors times twice the ratio")
    if columns.ratio is not None:
        missing = ~np.isfinite(depth)
        depth, errors, filled = _filled(table, columns.ratio, depth, errors)
        if filled:
            notes.append(f"{filled} depths from column {table.title(columns.ratio[0])}, squared")
            value = np.where(missing, np.nan, value)
    if columns.limit is not None:
        flags = np.nan_to_num(table.numbers(columns.limit))
        if flags.any():
            notes.append(f"dropped {int((flags != 0).sum())} upper or lower limits")
            depth = np.where(flags != 0, np.nan, depth)
    points = Points(wave_um, width_um, depth, errors[0], errors[1], np.array(labels, dtype=str))
    return points, (wave, value), widths, notes


def _filled(
    table: SourceTable,
    ratio: tuple[int, int, int],
    depth: np.ndarray,
    errors: list[np.ndarray],
) -> tuple[np.ndarray, list[np.ndarray], int]:
    """Depths and errors, those that a row lacks made from its radius ratio; how many those are."""
    value, low, high = (table.numbers(place) for place in ratio)
    missing = ~np.isfinite(depth) & np.isfinite(value)
    low = np.where(low < 0, -low, low) if ratio[1] != ratio[2] else low
    depth = np.where(missing, value**2, depth)
    errors = [
        np.where(missing, error_to_fraction(side, value, "rp/rs"), error)
        for side, error in zip((low, high), errors, strict=True)
    ]
    return depth, errors, int(missing.sum())


def _bins(
    table: SourceTable, columns: Layout, options: Options, units: Units, labels: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Widths, list[str]]:
    """Wavelengths as the file has them and in um, full widths [um], their kind, and words."""
    if columns.edges is not None:
        if options.widths == "half":
            raise ContradictionError(f"{table.path}: gives the edges of its bins", "widths", "half")
        return (*_between_edges(table, columns, units), "full", ["widths from the bins' edges"])
    wave = table.numbers(cast(int, columns.wavelength))
    wave_um = to_micrometres(wave, units.wavelength)
    unknown = np.full(len(wave), np.nan)
    if columns.width is None:
        unused = f"--widths {options.widths} has no use: the file has no widths"
        return wave, wave_um, unknown, "none", [unused] if options.widths else []
    width_um = width_to_micrometres(table.numbers(columns.width), wave, units.width)
    if not np.isfinite(width_um).any():
        return wave, wave_um, unknown, "none", [f"column {table.title(columns.width)} is empty"]
    widths, words = resolve_widths(table, columns, options, wave_um, width_um, labels)
    return wave, wave_um, width_um * (2 if widths == "half" else 1), widths, [words]


def _between_edges(
    table: SourceTable, columns: Layout, units: Units
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelengths as the file has them and in um, and widths [um], of bins given by their edges."""
    edges = [table.numbers(place) for place in columns.edges or ()]
    edges_um = [to_micrometres(edge, units.wavelength) for edge in edges]
    low_um, high_um = np.minimum(*edges_um), np.maximum(*edges_um)
    if columns.wavelength is None:
        return (edges[0] + edges[1]) / 2, (low_um + high_um) / 2, high_um - low_um
    wave = table.numbers(columns.wavelength)
    wave_um = to_micrometres(wave, units.wavelength)
    outside = (wave_um < low_um) | (wave_um > high_um)
    if outside.any():
        row = int(np.argmax(outside))
        raise ArielflowError(
            f"{table.path}: {table.places[row]}, the wavelength {wave_um[row]:.5g} um lies outside "
            f"its bin's edges {low_um[row]:.5g} and {high_um[row]:.5g} um; mend the table"
        )
    return wave, wave_um, high_um - low_um
