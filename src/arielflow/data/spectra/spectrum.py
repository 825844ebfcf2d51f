"""One observed spectrum: points of one or several instruments, as the retrieval uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import listed

Kind = Literal["transit", "eclipse"]
Widths = Literal["full", "half", "none"]
KINDS: tuple[Kind, ...] = ("transit", "eclipse")

_ARRAYS = ("wavelength_um", "width_um", "depth", "error_low", "error_high")


@dataclass(frozen=True, eq=False)
class ObservedSpectrum:
    """Transit or eclipse depths of one planet, sorted by wavelength.

    Attributes
    ----------
    wavelength_um : numpy.ndarray
        Centres of the bins [um] (point,), ascending.
    width_um : numpy.ndarray
        Full widths of the bins [um] (point,).
    depth : numpy.ndarray
        Squared radius ratio, or planet's flux over star's: fractions (point,).
    error_low, error_high : numpy.ndarray
        Errors downwards and upwards, both positive fractions (point,).
    instrument : numpy.ndarray
        Name of each point's instrument (point,).
    kind : str
        ``transit`` or ``eclipse``.
    widths : str
        What the file gave: ``full`` or ``half`` widths, or ``none``, where they follow from the
        neighbouring centres.
    files : tuple[str, ...]
        Paths of the files that it was read from.
    notes : tuple[str, ...]
        What was understood, converted, dropped or repaired, in words.

    Raises
    ------
    ArielflowError
        The arrays differ in length, hold nothing, or values that no spectrum has: a number that is
        not finite, a wavelength, width or error that is not positive, or such a transit depth.
        Eclipse depths may be negative: noise makes them so where the planet is dark.
    """

    wavelength_um: np.ndarray
    width_um: np.ndarray
    depth: np.ndarray
    error_low: np.ndarray
    error_high: np.ndarray
    instrument: np.ndarray
    kind: Kind = "transit"
    widths: Widths = "full"
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        arrays = {name: np.array(getattr(self, name), dtype=float) for name in _ARRAYS}
        labels = np.array(self.instrument, dtype=str)
        shapes = {array.shape for array in (*arrays.values(), labels)}
        if len(shapes) != 1 or labels.ndim != 1 or not labels.size:
            found = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ArielflowError(
                f"a spectrum's arrays must be of one length, at least 1; found {found}, "
                f"instrument {labels.shape}"
            )
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ArielflowError(f"a spectrum's {name} must be finite; drop such points")
            signed = name == "depth" and self.kind == "eclipse"
            if not signed and not (array > 0).all():
                raise ArielflowError(f"a spectrum's {name} must be positive; drop such points")
        if self.kind not in KINDS or self.widths not in ("full", "half", "none"):
            raise ArielflowError(
                f"a spectrum of kind {self.kind!r} with widths {self.widths!r}; expected transit "
                "or eclipse, and full, half or none"
            )
        order = np.argsort(arrays["wavelength_um"], kind="stable")
        for name, array in (*arrays.items(), ("instrument", labels)):
            array = array[order]
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.wavelength_um)

    @property
    def error(self) -> np.ndarray:
        """Symmetric errors (point,): the mean of the lower and the upper one, as a fraction."""
        return (self.error_low + self.error_high) / 2

    @property
    def instruments(self) -> tuple[str, ...]:
        """Names of the instruments, in the order of their first wavelengths."""
        return tuple(dict.fromkeys(self.instrument.tolist()))

    def select(self, mask: np.ndarray) -> ObservedSpectrum:
        """The points where a mask of booleans (point,) is true.

        Raises
        ------
        ArielflowError
            No point is left, or the mask does not fit.
        """
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != self.wavelength_um.shape:
            raise ArielflowError(
                f"a mask of {mask.dtype}, shape {mask.shape}, for a spectrum of {len(self)} "
                "points; give one boolean per point"
            )
        if not mask.any():
            raise ArielflowError("the selection leaves no point of the spectrum; choose others")
        return replace(self, **{n: getattr(self, n)[mask] for n in (*_ARRAYS, "instrument")})

    def bin_to(self, edges_um: Sequence[float] | np.ndarray) -> ObservedSpectrum:
        """Means over coarser bins, weighted with the inverse variance, instrument by instrument.

        Parameters
        ----------
        edges_um
            Edges of the bins [um], ascending. A point belongs to the bin that holds its centre;
            points outside all bins are left out, bins without points too.

        Raises
        ------
        ArielflowError
            The edges do not ascend, or hold no point between them.
        """
        edges = np.asarray(edges_um, dtype=float)
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise ArielflowError("the edges of bins must ascend; give at least two, in um")
        place = np.searchsorted(edges, self.wavelength_um, side="right") - 1
        inside = (place >= 0) & (place < len(edges) - 1)
        rows: list[tuple[float, float, float, float, float, str]] = []
        for name in self.instruments:
            for number in np.unique(place[inside & (self.instrument == name)]):
                part = inside & (place == number) & (self.instrument == name)
                weight = self.error[part] ** -2
                share = weight / weight.sum()
                low, high = (
                    float(np.sqrt(np.sum((share * side[part]) ** 2)))
                    for side in (self.error_low, self.error_high)
                )
                low_um, high_um = edges[number], edges[number + 1]
                middle, width = (low_um + high_um) / 2, high_um - low_um
                rows.append((middle, width, float(share @ self.depth[part]), low, high, name))
        if not rows:
            raise ArielflowError(
                f"no point of the spectrum lies between {edges[0]:g} and {edges[-1]:g} um; it "
                f"spans {self.wavelength_um[0]:g} to {self.wavelength_um[-1]:g} um"
            )
        left_out = int((~inside).sum())
        note = f"binned from {len(self)} to {len(rows)} points with inverse-variance weights"
        if left_out:
            note += f"; {left_out} points outside the bins left out"
        columns = dict(zip((*_ARRAYS, "instrument"), zip(*rows, strict=True), strict=True))
        return replace(self, **columns, notes=(*self.notes, note))


def concatenate(spectra: Sequence[ObservedSpectrum]) -> ObservedSpectrum:
    """Spectra of several instruments as one.

    Where the files gave widths of different kinds, ``widths`` says ``full``, which they all are
    by then; the notes keep what each file gave.

    Raises
    ------
    ArielflowError
        There is none, or transits stand beside eclipses.
    """
    if not spectra:
        raise ArielflowError("no spectrum to join; give at least one")
    kinds = list(dict.fromkeys(spectrum.kind for spectrum in spectra))
    if len(kinds) > 1:
        names = [
            f"{listed(s.files, longest=400) or listed(s.instruments)}: {s.kind}" for s in spectra
        ]
        raise ArielflowError(
            f"transit and eclipse depths are no single spectrum ({listed(names)}); read them apart"
        )
    widths = {spectrum.widths for spectrum in spectra}
    return ObservedSpectrum(
        *(np.concatenate([getattr(s, name) for s in spectra]) for name in (*_ARRAYS, "instrument")),
        kind=kinds[0],
        widths=widths.pop() if len(widths) == 1 else "full",
        files=tuple(dict.fromkeys(file for s in spectra for file in s.files)),
        notes=tuple(dict.fromkeys(note for s in spectra for note in s.notes)),
    )
