"""Data from HTTP servers and S3-compatible storage."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pytest
from remote_servers import file_server, raw_server, s3_client, s3_server
from workflow_run import project, snakemake

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import open_dataset
from arielflow.data import download as module
from arielflow.data import transfer
from arielflow.data.download import download
from arielflow.editions import get_edition

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


def test_a_connection_that_keeps_breaking_says_what_is_kept(
    server, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(module, "_BACKOFF_S", 0.001)
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


def _head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1")


def _drip(start: bytes, piece: bytes, pause_s: float) -> Iterator[bytes]:
    yield start
    for _ in range(2000):
        time.sleep(pause_s)
        yield piece


_UNAVAILABLE, _FOUND = "503 Service Unavailable", "302 Found"
# Two days from when the tests are collected, which may be long before this one runs.
_NEVER = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 172_800))
_REDIRECTS = "the server redirects to"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([_head("Retry-After: 86400", status=_UNAVAILABLE)], "asks to wait 86400 s"),
        ([_head(f"Retry-After: {_NEVER}", status=_UNAVAILABLE)], r"asks to wait 1\d{5} s"),
        ([_head("Retry-After: soon", status=_UNAVAILABLE)], "503 Service Unavailable; 0 bytes"),
        ([_head("Content-Length: abc")], "declares Content-Length 'abc'"),
        ([_head("Content-Length: -5")], "declares Content-Length '-5'"),
        ([_head(f"Content-Length: {10**30}")], "declares Content-Length"),
        ([_head(f"Content-Length: {10**20}")], "declares 100000000000000000000 bytes"),
        ([_head("Location: http://[::1", status=_FOUND)], _REDIRECTS),
        ([_head("Location: file:///etc/passwd", status=_FOUND)], _REDIRECTS),
        ([_head("Location: data:text/plain,abc", status=_FOUND)], _REDIRECTS),
        ([_head("Location: http://h:99999/", status=_FOUND)], _REDIRECTS),
        ([_head("Location: /file", status=_FOUND)], "redirected over 5 times"),
        ([_head("Content-Range: bytes 0-4/5", status="206 Partial Content")], "answers 206"),
        ([_head(status="204 No Content")], "answers 204 No Content"),
        ([_head("X: " + "a" * 200_000)], "got more than 65536 bytes"),
        ([_head(*(f"X{n}: a" for n in range(500)))], "got more than 100 headers"),
        ([b"\0\xff not http\r\n\r\n"], "broke off"),
        ([], "broke off"),
        ([_head("Transfer-Encoding: chunked"), b"ZZZ\r\nabc\r\n"], "broke off"),
        ([_head("Content-Length: 9"), b"123"], "3 bytes are kept"),
        ([_head("Content-Length: 5", "Content-Encoding: gzip"), b"12345"], "it was removed"),
    ],
)
def test_what_an_odd_server_answers_is_one_line(answer, words, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BACKOFF_S", 0.001)
    with raw_server(lambda number: answer) as server:
        _refused(server.url, tmp_path, words)


def _refused(url: str, folder: Path, words: str) -> None:
    began = time.monotonic()
    with pytest.raises(ArielflowError, match=words) as fault:
        download(url, folder / "file", MD5)
    assert "\n" not in str(fault.value) and len(str(fault.value)) < 1000
    assert time.monotonic() - began < 10
    assert not (folder / "file").exists()


_CHUNK = b"10000\r\n" + bytes(1 << 16) + b"\r\n"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n: chain([_head()], repeat(bytes(1 << 16))), "sends over 1000000 bytes"),
        (lambda n: chain([_head("Transfer-Encoding: chunked")], repeat(_CHUNK)), "sends over"),
        (
            lambda n: chain([_head("Location: /x", status=_FOUND)], repeat(bytes(1 << 16))),
            "redirected over 5 times",
        ),
        (lambda n: repeat(_head(status="100 Continue")), "no answer within"),
        (lambda n: _drip(b"HTTP/1.1 200 OK\r\nX: ", b"a", 0.05), "no answer within"),
        (lambda n: _drip(_head("Content-Length: 99999"), b"a", 0.05), "too slow to wait"),
        (lambda n: _drip(_head("Transfer-Encoding: chunked"), b"0", 0.05), "too slow to wait"),
        (
            lambda n: chain([_head("Transfer-Encoding: chunked"), b"0\r\n"], repeat(b"X: a\r\n")),
            "too slow to wait",
        ),
        (lambda n: _drip(b"", b"", 1.0), "no answer"),
    ],
    ids=[
        *("body", "chunks", "redirection", "continue", "slow head", "slow body"),
        *("slow chunk", "trailer", "silence"),
    ],
)
def test_a_server_that_never_ends_is_left_in_time(answer, words, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_UNDECLARED_BYTES", 1_000_000)
    monkeypatch.setattr(transfer, "_ANSWER_S", 0.6)
    monkeypatch.setattr(transfer, "_PATIENCE_S", 0.6)
    with raw_server(answer) as server:
        _refused(server.url, tmp_path, words)
    if "sends over" in words:
        assert list(tmp_path.iterdir()) == []


def test_a_short_wait_that_the_server_asks_for_is_kept(tmp_path) -> None:
    def answer(number: int) -> list[bytes]:
        if number == 0:
            return [_head("Retry-After: 1", status=_UNAVAILABLE)]
        return [_head(f"Content-Length: {len(CONTENT)}"), CONTENT]

    began = time.monotonic()
    with raw_server(answer) as server:
        download(server.url, tmp_path / "file", MD5)
    assert server.requests == 2 and 1 <= time.monotonic() - began < 5


def test_a_file_larger_than_the_device_is_refused_before_it_comes(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 1 << 60)
    with raw_server(lambda number: [_head(f"Content-Length: {1 << 55}")]) as server:
        _refused(server.url, tmp_path, "no room for")


def test_another_part_than_asked_for_is_fetched_anew(server, tmp_path: Path) -> None:
    server.range_error = -7
    (tmp_path / "spectra.h5.partial").write_bytes(CONTENT[:1_000_000])
    download(f"{server.url}/spectra.h5", tmp_path / "spectra.h5", MD5)
    assert server.ranges == ["bytes=1000000-", None]
    assert (tmp_path / "spectra.h5").read_bytes() == CONTENT


def test_a_beginning_that_is_not_the_files_is_fetched_anew(server, tmp_path: Path) -> None:
    (tmp_path / "spectra.h5.partial").write_bytes(b"x" * 1_000_000)
    download(f"{server.url}/spectra.h5", tmp_path / "spectra.h5", MD5)
    assert (tmp_path / "spectra.h5").read_bytes() == CONTENT


def test_nothing_is_written_through_a_link_or_over_a_folder(server, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    (tmp_path / "linked.partial").symlink_to(victim)
    (tmp_path / "folder").mkdir()
    for name in ("linked", "folder"):
        with pytest.raises(ArielflowError, match=r"remove it|move it away"):
            download(f"{server.url}/spectra.h5", tmp_path / name, MD5)
    assert victim.read_bytes() == b"keep" and server.ranges == []


@pytest.mark.parametrize("url", ["", "file:///etc/passwd", "ftp://x/y", "http://[::1", "http://"])
def test_an_address_that_is_none_is_refused(url: str, tmp_path: Path) -> None:
    _refused(url, tmp_path, "no http or https address")


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


@pytest.mark.slow
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
