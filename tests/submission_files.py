"""Small submissions written by hand, plausible and valid until a test spoils them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from arielflow.editions import Edition
from arielflow.evaluation.submission.plausibility import hull

Files = tuple[Edition, Path, Path]


def plausible_samples(edition: Edition, row: int) -> np.ndarray:
    """A plausible posterior: a tenth of the prior, somewhere in it."""
    rng = np.random.default_rng(row)
    low, high = np.array([hull(target) for target in edition.targets]).T
    width = 0.1 * (high - low)
    return low + rng.random(len(low)) * (high - low - width) + width * rng.random((1200, len(low)))


def written(edition: Edition, folder: Path) -> Files:
    """Edition, ``folder`` with TestData of six planets, and a valid submission for them."""
    names = edition.identifiers("test", 6)
    (folder / "TestData").mkdir()
    table = pd.DataFrame({"planet_ID": names})
    table.to_csv(folder / "TestData" / "AuxillaryTable.csv", index=False)
    path = folder / "flow.hdf5"
    with h5py.File(path, "w") as file:
        for row, name in enumerate(names):
            group = file.create_group(edition.group(name))
            group.attrs["ID"] = row
            group["tracedata"], group["weights"] = (
                plausible_samples(edition, row),
                np.full(1200, 1 / 1200),
            )
    return edition, folder, path
