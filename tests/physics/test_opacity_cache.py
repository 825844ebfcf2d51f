"""The cache of converted opacities: damaged entries, and those that other readers made."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_opacity_folder import table
from test_opacity_input import write_with_units

from arielflow.physics import opacity_cache
from arielflow.physics.opacity_cache import cached_table
from arielflow.physics.opacity_formats.taurex import write_taurex_hdf5


def _entry(path: Path) -> Path:
    return next((path / "cache" / "arielflow" / "tables").iterdir())


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)


def _reshape(path: Path) -> None:
    np.save(path, np.load(path).reshape(-1, 3, 3))


def _retype(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"'<f8'", b"'>f8'", 1))


def _as_file(entry: Path) -> None:
    for path in entry.iterdir():
        path.unlink()
    entry.rmdir()
    entry.write_text("no folder")


DAMAGED_ENTRIES = {
    "cut": lambda e: os.truncate(e / "cross_section.npy", 500),
    "empty": lambda e: os.truncate(e / "cross_section.npy", 0),
    "a bit": lambda e: _flip(e / "cross_section.npy"),
    "shape": lambda e: _reshape(e / "cross_section.npy"),
    "type": lambda e: _retype(e / "cross_section.npy"),
    "axes cut": lambda e: os.truncate(e / "axes.npz", 300),
    "axes a bit": lambda e: _flip(e / "axes.npz"),
    "axes gone": lambda e: (e / "axes.npz").unlink(),
    "no array": lambda e: np.savez(e / "axes.npz", molecule="H2O"),
    "a pipe": lambda e: ((e / "axes.npz").unlink(), os.mkfifo(e / "axes.npz")),
    "no folder": _as_file,
}


@pytest.mark.parametrize("case", DAMAGED_ENTRIES)
def test_a_damaged_entry_of_the_cache_is_replaced(tmp_path: Path, monkeypatch, case) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "H2O.h5"
    write_taurex_hdf5(path, table())
    cached_table(path)
    DAMAGED_ENTRIES[case](_entry(tmp_path))
    found = cached_table(path)
    np.testing.assert_array_equal(found.cross_section_cm2, table().cross_section_cm2)
    np.testing.assert_array_equal(found.wavenumber_cm1, table().wavenumber_cm1)
    assert len(list(_entry(tmp_path).parent.iterdir())) == 1, "something was left behind"
    monkeypatch.setattr(opacity_cache, "read_opacity", lambda p: pytest.fail("read again"))
    again = cached_table(path)
    np.testing.assert_array_equal(again.cross_section_cm2, table().cross_section_cm2)


def test_what_other_readers_made_is_read_anew(tmp_path: Path, monkeypatch) -> None:
    """A table in m2 that an earlier version took for cm2 must not stay in the cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = tmp_path / "H2O.h5"
    write_with_units(path, "xsecarr", "m^2/molecule", 1e-4)
    with monkeypatch.context() as patch:
        patch.setattr(opacity_cache, "_readers", lambda: "of yesterday")
        wrong = replace(table(), cross_section_cm2=1e-4 * table().cross_section_cm2)
        patch.setattr(opacity_cache, "read_opacity", lambda p: wrong)
        cached_table(path)
    found = cached_table(path).cross_section_cm2
    np.testing.assert_allclose(found, table().cross_section_cm2, rtol=1e-10)
