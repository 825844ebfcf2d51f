"""The built-in bands beside photochem's k-tables, cell by cell: for ``docs/opacities.md``.

``python benchmarks/k_table_bands.py KTABLES``, the folder of photochem's k-distributions, averages
the built-in cross-sections over the k-tables' cells between 0.54 and 7.84 um and compares means at
several temperatures and pressures: ``docs/k_table_bands.csv``, a table of those cells in which the
difference exceeds ``TOLERANCE_DEX`` somewhere, and a figure.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from arielflow.physics.binning import cells_as_bins
from arielflow.physics.builtin_opacity import WAVELENGTH_RANGE_UM, generate
from arielflow.physics.opacity import bin_means
from arielflow.physics.opacity_files import read_opacity, scan_opacities
from arielflow.plotting import band_differences

ROOT = Path(__file__).parents[1]
MOLECULES = ("H2O", "CO2", "CO", "CH4")
TEMPERATURE_K = (500.0, 1000.0, 1500.0, 2000.0)
PRESSURE_PA = (1e2, 1e4)
SHOWN_PA = 1e4
WITHIN_DEX = 3.0
TOLERANCE_DEX = 0.5


def compare(molecule: str, path: Path) -> pd.DataFrame:
    """One line per cell, temperature and pressure at which the k-table is strong enough."""
    table, builtin = read_opacity(path), generate(molecule)
    centre_um, width_um = cells_as_bins(table.wavenumber_cm1, table.cell_bounds_cm1)
    low, high = centre_um - 0.5 * width_um, centre_um + 0.5 * width_um
    inside = (low > WAVELENGTH_RANGE_UM[0]) & (high < WAVELENGTH_RANGE_UM[1])
    cells = centre_um[inside], width_um[inside]
    rows = []
    for temperature_k in TEMPERATURE_K:
        for pressure_pa in PRESSURE_PA:
            ours = bin_means(builtin, temperature_k, pressure_pa, *cells)
            theirs = bin_means(table, temperature_k, pressure_pa, *cells)
            for number in np.flatnonzero(theirs > 10.0**-WITHIN_DEX * theirs.max()):
                rows.append(
                    {
                        "molecule": molecule,
                        "low_um": low[inside][number],
                        "high_um": high[inside][number],
                        "temperature_k": temperature_k,
                        "pressure_pa": pressure_pa,
                        "log10_k_table_cm2": np.log10(theirs[number]),
                        "difference_dex": np.log10(ours[number] / theirs[number]),
                    }
                )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ktables", type=Path)
    files = scan_opacities(parser.parse_args().ktables)
    found = pd.concat([compare(name, files[name]) for name in MOLECULES], ignore_index=True)
    found.to_csv(ROOT / "docs" / "k_table_bands.csv", index=False, float_format="%.4g")
    shown = found[found["pressure_pa"] == SHOWN_PA]
    grid = shown.pivot(
        index=["molecule", "low_um", "high_um"], columns="temperature_k", values="difference_dex"
    )
    grid = grid.reindex(MOLECULES, level="molecule")
    print(grid[(grid.abs() > TOLERANCE_DEX).any(axis=1)].round(2).to_string())
    for (name, temperature_k), part in shown.groupby(["molecule", "temperature_k"]):
        rms = np.sqrt(np.mean(part["difference_dex"] ** 2))
        print(f"{name} {temperature_k:g} K: rms {rms:.2f} dex over {len(part)} cells")
    cells_um, difference = {}, {}
    for name in MOLECULES:
        part = grid.loc[name]
        cells_um[name] = np.array(part.index.tolist())
        difference[name] = {f"{column:g} K": part[column].to_numpy() for column in part}
    figure = band_differences(cells_um, difference, TOLERANCE_DEX)
    figure.savefig(ROOT / "docs" / "figures" / "k_table_bands.png", dpi=90)


if __name__ == "__main__":
    main()
