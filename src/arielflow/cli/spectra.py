"""What the command line says about observed spectra, and the options by which they are read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arielflow.cli.common import Json, app, say

if TYPE_CHECKING:
    from arielflow.data.spectra.spectrum import ObservedSpectrum

SpectrumFiles = Annotated[
    list[Path], typer.Argument(help="Files of one planet's spectrum, one per instrument or more.")
]
WavelengthUnit = Annotated[
    str | None,
    typer.Option(help="um, nm, angstrom, m, cm or cm-1, where the files state no unit."),
]
DepthUnit = Annotated[
    str | None,
    typer.Option(help="fraction, percent, permille, ppm or rp/rs, where the files state no unit."),
]
Widths = Annotated[
    str | None, typer.Option(help="full or half widths of bins, where the files do not tell.")
]
Kind = Annotated[
    str | None, typer.Option(help="transit or eclipse depths, where the files do not tell.")
]


def spectrum_facts(spectrum: ObservedSpectrum) -> dict[str, Any]:
    """A spectrum in a few facts: the median depth and error [ppm], the span [um], the notes."""
    import numpy as np

    return {
        "points": len(spectrum),
        "wavelength_um": [float(spectrum.wavelength_um[0]), float(spectrum.wavelength_um[-1])],
        "depth_ppm": float(np.median(spectrum.depth) * 1e6),
        "error_ppm": float(np.median(spectrum.error) * 1e6),
        "widths": spectrum.widths,
        "kind": spectrum.kind,
        "instruments": list(spectrum.instruments),
        "notes": list(spectrum.notes),
    }


def describe_lines(spectrum: ObservedSpectrum) -> list[str]:
    """The same facts as lines for people, such as a retrieval prints first."""
    facts = spectrum_facts(spectrum)
    low, high = facts["wavelength_um"]
    counts = [
        f"{name} ({int((spectrum.instrument == name).sum())})" for name in facts["instruments"]
    ]
    return [
        f"points: {facts['points']}, {low:.5g} to {high:.5g} um",
        f"{facts['kind']} depth: {facts['depth_ppm']:.6g} ppm, error {facts['error_ppm']:.4g} ppm "
        "(medians)",
        f"widths in the file: {facts['widths']}",
        f"instruments: {', '.join(counts)}",
        *(f"note: {note}" for note in facts["notes"]),
    ]


@app.command()
def inspect(
    files: SpectrumFiles,
    wavelength_unit: WavelengthUnit = None,
    depth_unit: DepthUnit = None,
    widths: Widths = None,
    kind: Kind = None,
    as_json: Json = False,
) -> None:
    """Read an observed spectrum and say what was understood: points, units, widths, repairs."""
    from arielflow.data.spectra.read import read_spectrum

    spectrum = read_spectrum(
        files, wavelength_unit=wavelength_unit, depth_unit=depth_unit, widths=widths, kind=kind
    )
    say(as_json, spectrum_facts(spectrum), *describe_lines(spectrum))
