"""Reading observed spectra, whatever format their files have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import guarded, listed, regular_file, shown
from arielflow.data.spectra.archive import is_ipac, read_ipac
from arielflow.data.spectra.containers import (
    read_community,
    read_fits,
    read_machine_readable,
)
from arielflow.data.spectra.interpret import interpret
from arielflow.data.spectra.spectrum import ObservedSpectrum, concatenate
from arielflow.data.spectra.stated import ContradictionError, Options
from arielflow.data.spectra.table import SourceTable
from arielflow.data.spectra.text import read_text_table

_MOST_BYTES = 1 << 25
_FEWEST = 3
# Beginnings of files that are no text, and what to do about them; None: they are read.
_SIGNATURES = {
    b"\x1f\x8b": "a compressed file (gzip); unpack it",
    b"PK\x03\x04": "an archive or a spreadsheet (zip); unpack it, or save it as CSV",
    b"BZh": "a compressed file (bzip2); unpack it",
    b"\xfd7zXZ": "a compressed file (xz); unpack it",
    b"\x93NUMPY": "a NumPy array without names or units; save it as a text table with a header",
    b"%PDF": "a PDF document; save its table as CSV",
    b"\x89PNG": "a picture; give a table",
    b"\x80\x04": "a Python pickle, which is never opened; save it as CSV or ECSV",
}
_NO_TABLES = {
    "<!doctype": "an HTML page, perhaps a download that failed; fetch the file itself",
    "<html": "an HTML page, perhaps a download that failed; fetch the file itself",
    "<?xml": "an XML file (VOTable?); save it as ECSV or CSV",
    "<votable": "a VOTable; save it as ECSV or CSV",
    "\\begin": "a LaTeX table; save it as CSV",
    "\\documentclass": "a LaTeX text; save its table as CSV",
    "{": "a JSON file; save it as CSV",
    "[{": "a JSON file; save it as CSV",
    '["': "a JSON file; save it as CSV",
}


def read_spectrum(
    paths: str | Path | Sequence[str | Path],
    *,
    wavelength_unit: str | None = None,
    depth_unit: str | None = None,
    widths: str | None = None,
    kind: str | None = None,
    instruments: str | Sequence[str] | None = None,
) -> ObservedSpectrum:
    """Read the observed spectrum of one planet from one or several files.

    Formats: tables of the NASA Exoplanet Archive (IPAC, tabs), ECSV, text with commas, tabs,
    semicolons or blanks, Eureka!, Pyrat Bay, PLATON, petitRADTRANS, POSEIDON and TauREx files, FITS
    tables, and NetCDF in the community format; see docs/spectra.md.

    Parameters
    ----------
    paths
        One file, or several of one planet, each of an instrument of its own.
    wavelength_unit
        ``um``, ``nm``, ``angstrom``, ``m``, ``cm`` or ``cm-1``; asked for where the file states
        none.
    depth_unit
        ``fraction``, ``percent``, ``permille``, ``ppm``, or ``rp/rs`` for a radius ratio, which is
        squared; asked for where the file states none.
    widths
        ``full`` or ``half``; asked for where neither the file nor its bins tell.
    kind
        ``transit`` or ``eclipse``; what the file says if left out, a transit if it says nothing.
    instruments
        A name per file, in place of the names that the files give, or of the files' own.

    Returns
    -------
    ObservedSpectrum
        Points sorted by wavelength, in um and fractions; its notes tell what was done.

    Raises
    ------
    ArielflowError
        A file cannot be read, is no spectrum, or needs an option; or an option contradicts what all
        files say. Of several files an option is for those that do not say otherwise.

    Examples
    --------
    >>> import arielflow as af
    >>> from pathlib import Path
    >>> rows = ("wave_um,rprs,error", "1.1,0.100,0.001", "1.2,0.101,0.001", "1.3,0.1,0.001")
    >>> _ = Path("planet.csv").write_text("\\n".join(rows))
    >>> spectrum = af.read_spectrum("planet.csv")
    >>> len(spectrum), spectrum.kind, spectrum.instruments
    (3, 'transit', ('planet',))
    >>> spectrum.depth.round(6).tolist(), spectrum.error.round(6).tolist()
    ([0.01, 0.010201, 0.01], [0.0002, 0.000202, 0.0002])
    """
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    names = [instruments] if isinstance(instruments, str) else instruments
    if not files:
        raise ArielflowError("no file of a spectrum was given; give at least one")
    if names is not None and len(names) != len(files):
        raise ArielflowError(
            f"{len(names)} names of instruments for {len(files)} files; give one name per file"
        )
    options = Options(wavelength_unit, depth_unit, widths, kind, several=len(files) > 1)
    spectra = _interpreted(files, options)
    _refuse_same(files, spectra)
    spectra = _distinct(files, spectra) if names is None else _renamed(spectra, names)
    if len(spectra) > 1:
        spectra = [
            replace(one, notes=tuple(f"{path.name}: {note}" for note in one.notes))
            for path, one in zip(files, spectra, strict=True)
        ]
    whole = spectra[0] if len(spectra) == 1 else concatenate(spectra)
    if len(whole) < _FEWEST:
        raise ArielflowError(
            f"{listed(files, longest=400)}: {len(whole)} points, expected a spectrum of at "
            f"least {_FEWEST}; "
            "give the files of further instruments too"
        )
    return whole


def _interpreted(files: Sequence[Path], options: Options) -> list[ObservedSpectrum]:
    """The files' spectra; of several, an option is for those that do not say otherwise.

    Raises
    ------
    ArielflowError
        A file is no spectrum, or all of them contradict an option.
    """
    spectra, contradictions = [], []
    for path in files:
        table, own, notes = read_table(path), options, []
        while True:
            try:
                found = interpret(table, own, path.stem)
                break
            except ContradictionError as contradiction:
                contradictions.append(contradiction)
                flags = [one.flag for one in contradictions]
                if flags.count(contradiction.flag) == len(files):
                    raise
                own = replace(own, **{contradiction.option: None})
                notes.append(
                    f"{contradiction.flag} is for the other files: this one says otherwise"
                )
        spectra.append(replace(found, files=(str(path),), notes=(*found.notes, *notes)))
    return spectra


def read_table(path: Path) -> SourceTable:
    """The table of a file, whose format shows in its content, not in its name.

    Raises
    ------
    ArielflowError
        The file is missing, too large, or of a format that holds no spectrum.
    """
    path = regular_file(path)
    where = Path(shown(path, 400))
    size = path.stat().st_size
    if not 0 < size <= _MOST_BYTES:
        what = "is empty" if not size else f"{size} bytes, at most {_MOST_BYTES} are read"
        raise ArielflowError(f"{where}: {what}; expected the table of a spectrum")
    with guarded(where, "file", "check it"):
        content = path.read_bytes()
    if content.startswith((b"\x89HDF", b"CDF\x01", b"CDF\x02", b"CDF\x05")):
        return read_community(path, classic=content.startswith(b"CDF"))
    if content.startswith(b"SIMPLE  ="):
        return read_fits(path)
    text, decoding = _decoded(where, content)
    start = text.lstrip().lower()
    for beginning, what in _NO_TABLES.items():
        if start.startswith(beginning):
            raise ArielflowError(f"{where}: is {what}; expected the table of a spectrum")
    if "Byte-by-byte Description" in text:
        table = read_machine_readable(where, text)
    else:
        table = read_ipac(where, text) if is_ipac(text) else read_text_table(where, text)
    return replace(table, notes=(*table.notes, *decoding))


def _decoded(where: Path, content: bytes) -> tuple[str, list[str]]:
    """Text of a file, in UTF-8 or what else it is written in, and words about the latter."""
    for signature, what in _SIGNATURES.items():
        if content.startswith(signature):
            raise ArielflowError(f"{where}: is {what}")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        with guarded(where, "text in UTF-16", "save it as UTF-8"):
            return content.decode("utf-16"), ["decoded from UTF-16"]
    if b"\x00" in content or sum(byte < 9 or 13 < byte < 27 for byte in content[:4096]) > 8:
        raise ArielflowError(
            f"{where}: holds binary data of no known format; expected a text table, FITS or NetCDF"
        )
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        return content.decode("latin-1"), ["decoded from Latin-1: the file is no UTF-8"]


def _refuse_same(files: Sequence[Path], spectra: Sequence[ObservedSpectrum]) -> None:
    """Points that are given twice would count twice."""
    for second in range(len(files)):
        for first in range(second):
            a, b = spectra[first], spectra[second]
            if len(a) == len(b) and all(
                np.array_equal(getattr(a, name), getattr(b, name))
                for name in ("wavelength_um", "depth", "error_low")
            ):
                raise ArielflowError(
                    f"{shown(files[second], 400)}: holds the same points as "
                    f"{shown(files[first], 400)}; "
                    "give them once"
                )


def _distinct(files: Sequence[Path], spectra: Sequence[ObservedSpectrum]) -> list[ObservedSpectrum]:
    """Spectra whose instruments have names of their own, told apart by their files."""
    counts: dict[str, int] = {}
    for name in (name for one in spectra for name in one.instruments):
        counts[name] = counts.get(name, 0) + 1
    apart = []
    for number, (path, one) in enumerate(zip(files, spectra, strict=True), 1):
        stems = [other.stem for other in files]
        own = path.stem if stems.count(path.stem) == 1 else f"{path.stem}, file {number}"
        labels = [
            name if counts[name] == 1 else f"{name} ({own})" if name != path.stem else own
            for name in one.instrument.tolist()
        ]
        apart.append(replace(one, instrument=np.array(labels, dtype=str)))
    return apart


def _renamed(spectra: Sequence[ObservedSpectrum], names: Sequence[str]) -> list[ObservedSpectrum]:
    return [
        replace(one, instrument=np.full(len(one), str(name)))
        for one, name in zip(spectra, names, strict=True)
    ]
