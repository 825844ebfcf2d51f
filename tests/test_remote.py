"""Data from HTTP servers and S3-compatible storage."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from remote_servers import file_server, s3_client, s3_server
from workflow_run import project, snakemake

from arielflow import download as module
from arielflow.download import download
from arielflow.editions import get_edition
from arielflow.errors import ArielflowError
from arielflow.schema import open_dataset

CONTENT = np.random.default_rng(0).bytes(3_000_000)
MD5 = "md5:" + hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server():
    with file_server({"/spectra.h5": CONTENT}) as running:
        yield running


def test_a_file_arrives_whole_and_shows_progress(server, tmp_path: Path) -> None:
    seen = []
    target = tmp_path / "below" / "spectra.h5"
    download(f"{server.url}/spectra.h5", target, MD5, progress=lambda *bytes: seen.append(bytes))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert [path.name for path in target.parent.iterdir()] == ["spectra.h5"]


def test_what_an_earlier_attempt_left_is_continued(server, tmp_path: Path) -> None:
    (tmp_path / "spectra.h5.partial").write_bytes(CONTENT[:1_000_000])
    download(f"{server.url}/spectra.h5", tmp_path / "spectra.h5", MD5)
    assert server.ranges == ["bytes=1000000-"]
    assert (tmp_path / "spectra.h5").read_bytes() == CONTENT


def test_a_connection_that_breaks_is_taken_up_again(server, tmp_path: Path) -> None:
    server.break_after = [500_000, 700_000]
    download(f"{server.url}/spectra.h5", tmp_path / "spectra.h5", MD5)
    assert (tmp_path / "spectra.h5").read_bytes() == CONTENT
    assert server.ranges[0] is None and len(server.ranges) == 3
    assert all(int(asked.removeprefix("bytes=")[:-1]) > 0 for asked in server.ranges[1:])


def test_a_server_that_cannot_continue_sends_the_file_anew(server, tmp_path: Path) -> None:
    server.resumes = False
    (tmp_path / "spectra.h5.partial").write_bytes(b"x" * 1_000_000)
    download(f"{server.url}/spectra.h5", tmp_path / "spectra.h5", MD5)
    assert (tmp_path / "spectra.h5").read_bytes() == CONTENT


def test_a_partial_file_that_is_all_there_is_only_checked(server, tmp_path: Path) -> None:
    (tmp_path / "spectra.h5.partial").write_bytes(CONTENT)
    download(f"{server.url}/spectra.h5", tmp_path / "spectra.h5", MD5)
    assert (tmp_path / "spectra.h5").read_bytes() == CONTENT


def test_a_connection_that_keeps_breaking_says_what_is_kept(server, tmp_path: Path) -> None:
    server.break_after = [100_000] * 50
    with pytest.raises(ArielflowError, match=r"\d{6} bytes are kept .* a rerun continues"):
        download(f"{server.url}/spectra.h5", tmp_path / "spectra.h5", MD5)
    kept = (tmp_path / "spectra.h5.partial").read_bytes()
    assert len(kept) > 300_000 and CONTENT.startswith(kept)


def test_wrong_content_never_gets_the_name(server, tmp_path: Path) -> None:
    wrong = "sha256:" + "0" * 64
    with pytest.raises(ArielflowError, match=f"expected {'0' * 64}; it was removed"):
        download(f"{server.url}/spectra.h5", tmp_path / "spectra.h5", wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("checksum", ["md5:12", "crc32:00000000", "0" * 64])
def test_a_checksum_that_is_none_is_refused(server, tmp_path: Path, checksum: str) -> None:
    with pytest.raises(ArielflowError, match="expected md5: and 32, or sha256: and 64"):
        download(f"{server.url}/spectra.h5", tmp_path / "spectra.h5", checksum)
    assert server.ranges == []


def test_a_missing_file_and_a_missing_server_are_one_line(
    server, tmp_path: Path, monkeypatch
) -> None:
    with pytest.raises(ArielflowError, match="answers 404 Not Found; check the address"):
        download(f"{server.url}/other.h5", tmp_path / "other.h5", MD5)
    monkeypatch.setattr(module, "_ATTEMPTS", 1)
    with pytest.raises(ArielflowError, match=r"broke off 1 times.*0 bytes are kept"):
        download("http://127.0.0.1:9/spectra.h5", tmp_path / "none.h5", MD5)


def _wfc3_files(n_planets: int = 20_001) -> dict[str, bytes]:
    """A small set in the layout of the WFC3 one."""
    random = np.random.default_rng(1)
    low, high = np.array([500, -13, -13, -13, -13]), np.array([2900, 0, 0, 0, 2])
    theta = random.uniform(low, high, (n_planets, 5))
    spectra = 1.4 + 0.01 * random.standard_normal((n_planets, 13))
    arrays = {
        "testing.npy": np.hstack([spectra, theta]),
        "error_bars.npy": np.full(13, 0.005),
        "wavelength.npy": get_edition("wfc3").wavelength_um,
        "WASP12b.npy": spectra[:1],
    }
    files = {}
    for name, array in arrays.items():
        stream = io.BytesIO()
        np.save(stream, array)
        files[name] = stream.getvalue()
    return files


def test_a_data_set_is_brought_from_http_and_s3(tmp_path: Path) -> None:
    folder, files = project(tmp_path / "project"), _wfc3_files()
    with s3_server() as environment, file_server({f"/{k}": v for k, v in files.items()}) as web:
        storage = s3_client(environment)
        storage.create_bucket(Bucket="ariel")
        sources = {}
        for name, content in files.items():
            if name == "testing.npy":
                storage.put_object(Bucket="ariel", Key=f"hela/{name}", Body=content)
                sources[name] = {"url": f"s3://ariel/hela/{name}"}
            else:
                checksum = "sha256:" + hashlib.sha256(content).hexdigest()
                sources[name] = {"url": f"{web.url}/{name}", "checksum": checksum}
        overlay = folder / "remote.json"
        overlay.write_text(json.dumps({"dataset": {"path": "data/hela", "sources": sources}}))
        done = snakemake(
            folder,
            *("--cores", "2", "results/wfc3/ingested/train.nc"),
            *("--configfile", "config.yaml", "config/wfc3.yaml", overlay.name),
            environment=environment,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (folder / "data/hela/testing.npy").read_bytes() == files["testing.npy"]
    assert open_dataset(folder / "results/wfc3/ingested/train.nc").sizes["planet"] > 20
