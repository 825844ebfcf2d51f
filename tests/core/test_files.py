"""Files are written whole or not at all, whatever ends the process; flipped bits are found."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, partial_path, write_dataset
from arielflow.core.netcdf import read_netcdf

# Writes half of a file and then waits to be killed.
_HALF = """
import sys, time
from pathlib import Path
from arielflow.core.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    time.sleep(600)
"""


def _half_written(path: Path) -> tuple[subprocess.Popen, Path]:
    command = [sys.executable, "-c", _HALF, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return process, Path(process.stdout.readline().strip())


def test_what_a_killed_process_left_goes_once_the_file_is_written(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    dead, dead_partial = _half_written(target)
    alive, alive_partial = _half_written(target)
    dead.send_signal(signal.SIGKILL)
    dead.wait()
    nodename, number = os.uname().nodename, dead.pid
    keep = [
        f".out.csv.elsewhere.{number}.partial",  # of another machine
        f".other.csv.{nodename}.{number}.partial",  # of another file
        f".out.csv.{nodename}.1.partial",  # of a process that lives
        f".out.csv.{nodename}.{number}x.partial",
        "out.csv.partial",  # of a download, which goes on from it
    ]
    for name in keep:
        (tmp_path / name).write_text("kept")
    assert dead_partial.exists()
    with pytest.raises(ArielflowError), atomic_path(target):
        raise ArielflowError("nothing was written")
    assert dead_partial.exists()
    with atomic_path(target) as temporary:
        temporary.write_text("whole")
    assert {p.name for p in tmp_path.iterdir()} == {"out.csv", alive_partial.name, *keep}
    assert target.read_text() == "whole" and alive_partial.read_text() == "half"
    alive.kill()
    alive.wait()


def test_processes_and_machines_have_names_of_their_own(tmp_path: Path) -> None:
    name = partial_path(tmp_path / "out.csv").name
    assert str(os.getpid()) in name and os.uname().nodename in name


def _dataset() -> xr.Dataset:
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "theta": (("planet", "sample", "target"), rng.normal(size=(5, 300, 7))),
            "row_size": ("planet", rng.integers(0, 9, 5)),
            "retrieved": ("planet", np.array([True, False, True, True, False])),
            "trace": (("obs", "target"), np.empty((0, 7))),
            "log_evidence": ((), 3.5),
        },
        coords={"planet": [f"public{n}" for n in range(5)], "target": list("abcdefg")},
        attrs={"edition": "adc2023", "shares": np.array([0.25, 0.75])},
    )


def test_a_flipped_bit_of_a_dataset_is_found(tmp_path: Path) -> None:
    path, rng = tmp_path / "posterior.nc", np.random.default_rng(1)
    write_dataset(_dataset(), path)
    whole = path.read_bytes()
    with h5py.File(path) as file:
        chunks = [
            file[name].id.get_chunk_info(number)
            for name in ("theta", "row_size", "retrieved")
            for number in range(file[name].id.get_num_chunks())
        ]
    for chunk in chunks:
        for place in rng.integers(0, chunk.size, 5):
            content = bytearray(whole)
            content[chunk.byte_offset + place] ^= 1 << int(rng.integers(8))
            path.write_bytes(content)
            with pytest.raises(ArielflowError, match="not a readable NetCDF file"):
                read_netcdf(path)


def test_datasets_come_back_as_they_were(tmp_path: Path) -> None:
    written = _dataset()
    write_dataset(written, tmp_path / "new.nc")
    # As files were written before there were checksums in them.
    written.to_netcdf(tmp_path / "old.nc", engine="h5netcdf", encoding={"theta": {"zlib": True}})
    for name in ("new.nc", "old.nc"):
        read = read_netcdf(tmp_path / name)
        assert read.identical(written)
        # What was read is written again the same way.
        write_dataset(read, tmp_path / "again.nc")
        assert read_netcdf(tmp_path / "again.nc").identical(written)
