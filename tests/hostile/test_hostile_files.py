"""Thousands of damaged and malicious files: refused in one line, or flagged, and never believed.

Every case is read in a process of its own with limits of time and memory. ``make test`` reads some
hundred cases, ``make test-slow`` thousands.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import forked
import kept_kinds
import kinds
import pytest
import torch
import xarray as xr
from kinds import Kind

ROOT = Path(__file__).parents[2]

# Cases of every kind: in the fast suite, and in the slow one.
FEW, MANY = 18, 180


@pytest.fixture(scope="module")
def groups(simulated: xr.Dataset, opacities: Path, tmp_path_factory) -> dict[str, Kind]:
    folder = tmp_path_factory.mktemp("valid")
    few = simulated.isel(planet=slice(0, 5))
    library = ROOT / "data/embedded/truth.h5"
    torch.set_num_threads(1)
    makers: list[Callable[[], list[Kind]]] = [
        lambda: kinds.data_sets(folder / "data", few),
        lambda: kinds.wfc3(folder / "wfc3"),
        lambda: kinds.submissions(folder / "submission", few),
        lambda: kept_kinds.intermediates(folder / "kept", few, library),
        lambda: kept_kinds.opacities(folder / "opacities", opacities / "H2O.h5"),
        lambda: kept_kinds.models(folder / "models", simulated),
    ]
    return {kind.name: kind for make in makers for kind in make()}


NAMES = (
    *("data set, bytes", "data set, structure", "data set, tables", "data set, harmless", "wfc3"),
    *("submission, bytes", "submission, validated", "submission, scored", "submission, truth"),
    "submission, judged",
    *("NetCDF", "NetCDF, structure", "split", "shipped truth", "own truth"),
    *("results", "records", "opacity", "opacity formats", "opacity formats, structure", "cia"),
    *("nodes", "model random_forest", "model flow"),
)


def _faults(kind: Kind, seeds: range, folder: Path) -> list[str]:
    valid = kind.read(kind.source)
    found = (kind.case(folder / "case", seed, valid) for seed in seeds)
    return [fault for fault in found if fault]


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_refused_or_flagged(name, groups, tmp_path) -> None:
    faults = _faults(groups[name], range(FEW), tmp_path)
    assert not faults, "\n".join(faults[:10])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_damaged_files_are_refused_or_flagged(name, groups, tmp_path) -> None:
    faults = _faults(groups[name], range(FEW, FEW + MANY), tmp_path)
    assert not faults, f"{len(faults)} of {MANY}:\n" + "\n".join(faults[:10])


@pytest.mark.parametrize("byte", [0x00, 0x41, 0xFF])
def test_overwritten_texts_are_refused_at_once(byte, groups, tmp_path) -> None:
    """libhdf5 would walk them for ever."""
    kind = groups["NetCDF"]
    content = (kind.source / "planets.nc").read_bytes()
    place = content.index(b"GCOL") + 2952
    for start in (place, place + 40):
        damaged = content[:start] + bytes([byte]) * 512 + content[start + 512 :]
        (tmp_path / "planets.nc").write_bytes(damaged)
        found = forked.outcome(lambda: kind.read(tmp_path))
        assert found["kind"] == "fault" and "texts at byte" in found["text"], found


def test_all_kinds_are_read(groups) -> None:
    assert set(groups) == set(NAMES)
    assert FEW * len(NAMES) >= 300 and MANY * len(NAMES) >= 3000
