"""Official folders that tests spoil, and how they are read."""

from __future__ import annotations

from pathlib import Path

import h5py
import pandas as pd

from arielflow.data.ingest import ingest
from arielflow.editions import get_edition


def read_split_of(copy: tuple[str, Path], split: str = "test"):
    name, folder = copy
    return ingest(folder, get_edition(name), split, prior="matched")


def spectra_file(copy: tuple[str, Path], split: str = "TestData") -> h5py.File:
    return h5py.File(copy[1] / split / "SpectralData.hdf5", "r+")


def first_group(file: h5py.File) -> str:
    return sorted(file)[0]


def edit_table(copy, edit) -> None:
    path = copy[1] / "TestData" / "AuxillaryTable.csv"
    edit(pd.read_csv(path, dtype={"planet_ID": str})).to_csv(path, index=False)
