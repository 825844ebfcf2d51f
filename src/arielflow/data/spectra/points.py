"""Points of a spectrum: those that no spectrum has are dropped and named, absurd ones refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import shown
from arielflow.data.spectra.units import likely_depth_units, likely_wavelength_units

WAVELENGTHS_UM = (0.1, 100.0)
DEPTHS = (1e-6, 0.5)
# Depths that a unit is named for: no planet but a white dwarf's takes more than a tenth.
USUAL_DEPTHS = (1e-5, 0.1)
_USUAL_WAVELENGTHS_UM = (0.2, 30.0)
_RARE = ("permille", "cm-1", "cm", "angstrom")
_FEWEST = 3


@dataclass(frozen=True)
class Points:
    """Points of one file in its order, all arrays (point,): um and fractions.

    ``width_um`` is full; NaN throughout where the file has no widths.
    """

    wavelength_um: np.ndarray
    width_um: np.ndarray
    depth: np.ndarray
    error_low: np.ndarray
    error_high: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.wavelength_um)

    def keep(self, mask: np.ndarray) -> Points:
        """The points where a mask is true."""
        return replace(self, **{name: value[mask] for name, value in vars(self).items()})


def refuse_absurd(
    where: str,
    points: Points,
    kind: str,
    source: tuple[np.ndarray, np.ndarray],
    units: tuple[str, str],
    *,
    assumed: bool,
) -> None:
    """Refuse numbers that are in another unit, or something else, and name the likely unit.

    Parameters
    ----------
    where
        Begins messages: the file.
    points
        The converted points.
    kind
        ``transit`` or ``eclipse``.
    source, units
        Wavelengths and depths as the file has them, and the units that they were taken for.
    assumed
        Nobody stated the depths' unit, so that only usual depths are believed.

    Raises
    ------
    ArielflowError
        The wavelengths, depths or errors are absurd.
    """
    wave = points.wavelength_um[np.isfinite(points.wavelength_um)]
    depth = points.depth[np.isfinite(points.depth)]
    if not len(wave) or not len(depth):
        what = "wavelength" if not len(wave) else "depth"
        raise ArielflowError(f"{where}: no {what} is a number, expected a spectrum; mend the table")
    low, high = WAVELENGTHS_UM
    if not low <= np.median(wave) <= high or (wave > 10 * high).any():
        raw = source[0][np.isfinite(source[0])]
        likely = likely_wavelength_units(raw, *_USUAL_WAVELENGTHS_UM)
        raise ArielflowError(
            f"{where}: wavelengths from {wave.min():.4g} to {wave.max():.4g} um, read as "
            f"{units[0]}, expected {low:g} to {high:g} um; "
            + _suggestion("--wavelength-unit", [unit for unit in likely if unit != units[0]])
        )
    low, high = DEPTHS[0], USUAL_DEPTHS[1] if assumed else DEPTHS[1]
    middle = float(np.median(np.abs(depth)))
    if not low <= middle <= high:
        raw_middle = float(np.median(np.abs(source[1][np.isfinite(source[1])])))
        likely = [u for u in likely_depth_units(raw_middle, *USUAL_DEPTHS) if u != units[1]]
        likely += ["fraction"] if assumed and middle <= DEPTHS[1] else []
        raise ArielflowError(
            f"{where}: a median depth of {middle:.4g}, read as {units[1]}"
            f"{' for want of a stated unit' if assumed else ''}, expected {low:g} to "
            f"{high:g}; " + _suggestion("--depth-unit", likely)
        )
    if kind == "transit":
        negative = int((depth < 0).sum())
        if 2 * negative > len(depth):
            raise ArielflowError(
                f"{where}: {negative} of {len(depth)} transit depths are negative, expected the "
                "share of light that is lost; change their sign, or name the kind: --kind eclipse"
            )
        error = (points.error_low + points.error_high) / 2
        with np.errstate(invalid="ignore"):
            larger = int((error > points.depth).sum())
        if 2 * larger > len(points):
            raise ArielflowError(
                f"{where}: the errors exceed the depths in {larger} of {len(points)} points; "
                "expected smaller ones: check their unit, and which column is which"
            )


def _suggestion(option: str, likely: Sequence[str]) -> str:
    if not likely:
        return "check the file"
    likely = [unit for unit in likely if unit not in _RARE] or likely
    return f"looks like {' or '.join(likely)}: " + " or ".join(f"{option} {u}" for u in likely)


def drop_impossible(where: str, points: Points, kind: str) -> tuple[Points, list[str]]:
    """Points that a spectrum can have, and words about the others.

    Raises
    ------
    ArielflowError
        Fewer than three points are left of more.
    """
    has_widths = bool(np.isfinite(points.width_um).any())
    error = (points.error_low + points.error_high) / 2
    empty = ~np.isfinite(points.wavelength_um + points.depth + error)
    with np.errstate(invalid="ignore"):
        low, high = WAVELENGTHS_UM
        reasons = [
            ("without a number", empty),
            (
                f"outside {low:g} to {high:g} um",
                (points.wavelength_um < low) | (points.wavelength_um > high),
            ),
            (
                "with an error that is not positive",
                (points.error_low <= 0) | (points.error_high <= 0),
            ),
            ("without a positive width", has_widths & ~(points.width_um > 0)),
        ]
        if kind == "transit":
            reasons.append(("with a depth that is not positive", points.depth <= 0))
            reasons.append(("with an error above its depth", error > points.depth))
    kept = np.ones(len(points), dtype=bool)
    notes = []
    for words, test in reasons:
        hit = test & kept
        if hit.any():
            notes.append(f"dropped {_count(hit.sum())} {words}{_places(points.wavelength_um[hit])}")
        kept &= ~test
    if not kept.any() or (not kept.all() and kept.sum() < _FEWEST):
        raise ArielflowError(
            f"{where}: {int(kept.sum())} of {len(points)} points are usable, expected at least "
            f"{_FEWEST} ({'; '.join(notes)}); mend the table"
        )
    return points.keep(kept), notes


def drop_repeated(points: Points) -> tuple[Points, list[str]]:
    """Points without exact repetitions, and words about these and about others at one place."""
    columns = (points.wavelength_um, points.width_um, points.depth, points.error_low,
               points.error_high)  # fmt: skip
    rows = list(zip(points.labels.tolist(), *(c.tolist() for c in columns), strict=True))
    # A width that is not known is NaN, which differs from itself.
    rows = [tuple(None if value != value else value for value in row) for row in rows]
    seen: set[tuple[object, ...]] = set()
    kept = np.array([not (row in seen or seen.add(row)) for row in rows])  # type: ignore[func-returns-value]
    notes = []
    if not kept.all():
        gone = points.wavelength_um[~kept]
        notes.append(f"dropped {_count(len(gone))} repeating another{_places(gone)}")
    points = points.keep(kept)
    centres = list(zip(points.labels.tolist(), points.wavelength_um.tolist(), strict=True))
    counts = Counter(centres)
    several = np.array([counts[one] > 1 for one in centres])
    if several.any():
        place = _places(np.unique(points.wavelength_um[several]))
        notes.append(
            f"kept {_count(several.sum())} of one instrument at shared wavelengths with different "
            f"numbers{place}"
        )
    return points, notes


def _count(number: int | np.integer) -> str:
    return f"{int(number)} point{'' if number == 1 else 's'}"


def _places(wavelength_um: np.ndarray) -> str:
    """Where dropped points lay, as far as they have a place."""
    places = [f"{one:.5g}" for one in wavelength_um if np.isfinite(one)]
    if not places:
        return ""
    more = f" and {len(places) - 8} more" if len(places) > 8 else ""
    return f" (at {shown(', '.join(places[:8]), 100)}{more} um)"
