"""The record of a run's files: written by jobs at once, whole after a kill, checked when read."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from arielflow.core.errors import ArielflowError
from arielflow.runs import checksums
from arielflow.runs.checksums import check_files, check_finished, record_files
from arielflow.runs.job import job

RUN = Path("results/mine")
RECORD = RUN / "checksums.json"
MODEL = RUN / "models/flow/0"
SPLIT = RUN / "ingested/train_split.csv"
# Records a file of its own again and again, and says so.
_RECORDER = """
import sys
from pathlib import Path
from arielflow.runs.checksums import record_files
run, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for number in range(count):
    file = run / f"{name}{number}.txt"
    file.write_text(f"{name} {number}")
    record_files(run, [file])
    print(number, flush=True)
"""


@pytest.fixture(autouse=True)
def _own_folder_and_handlers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    handler, handlers = signal.getsignal(signal.SIGTERM), logging.root.handlers[:]
    yield
    signal.signal(signal.SIGTERM, handler)
    logging.captureWarnings(False)
    logging.raiseExceptions = True
    logging.root.handlers[:] = handlers


def _script(name: str, given: list[Path] = (), made: list[Path] = ()) -> SimpleNamespace:
    return SimpleNamespace(
        input=list(map(str, given)),
        output=list(map(str, made)),
        log=[str(RUN / f"logs/{name}.log")],
        config={"run": RUN.name},
    )


@pytest.fixture
def run() -> Path:
    """A run whose jobs have made a table and a folder with a model."""
    with job(_script("make", made=[SPLIT, MODEL])):
        _make()
    return RUN


def _make() -> None:
    (MODEL / "below").mkdir(parents=True, exist_ok=True)
    (MODEL / "network.bin").write_bytes(bytes(1000))
    (MODEL / "below/settings.json").write_text("{}")
    SPLIT.parent.mkdir(exist_ok=True)
    SPLIT.write_text("planet,part\n" + "".join(f"p{n},train\n" for n in range(100)))


def _refused(given: list[Path], capsys: pytest.CaptureFixture) -> str:
    """The one line of a job that does not get to read its inputs."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop, job(_script("read", given)):
        raise AssertionError("the job read them")
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    return line


def _log(name: str) -> list[str]:
    return (RUN / f"logs/{name}.log").read_text().splitlines()


def test_every_file_has_an_entry_and_whole_ones_are_read(run: Path) -> None:
    record = json.loads(RECORD.read_text())
    assert list(record) == [
        "ingested/train_split.csv",
        "models/flow/0/below/settings.json",
        "models/flow/0/network.bin",
    ]
    assert record["models/flow/0/network.bin"] == {
        "output": "models/flow/0",
        "sha256": "541b3e9daa09b20bf85fa273e5cbd3e80185aa4ec298e765db87742b70138a53",
        "size": 1000,
    }
    with job(_script("read", [SPLIT, MODEL])):
        pass
    assert _log("read") == []


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _replace_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        make(path)

    return damage


DAMAGES = {
    "cut": _cut,
    "flipped bit": _flip,
    "emptied": lambda path: os.truncate(path, 0),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
    "folder": _replace_by(Path.mkdir),
    "pipe": _replace_by(os.mkfifo),
    "dangling link": _replace_by(lambda path: path.symlink_to("nowhere")),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize(
    ("file", "output"), [(SPLIT, SPLIT), (MODEL / "below/settings.json", MODEL)], ids=["file", "in"]
)
def test_a_damaged_file_is_refused_with_the_remedy(
    run: Path, file: Path, output: Path, damage, capsys
) -> None:
    damage(file)
    line = _refused([SPLIT, MODEL], capsys)
    assert line.startswith(f"arielflow: {file}: ")
    assert line.endswith(f"damaged or edited after the run; remove {output} and run again")


def test_a_file_missing_in_a_folder_is_refused(run: Path, capsys) -> None:
    (MODEL / "network.bin").unlink()
    line = _refused([MODEL], capsys)
    assert "network.bin: no such file" in line and f"remove {MODEL} and run again" in line


def test_all_that_has_to_be_removed_is_named(run: Path, capsys) -> None:
    _cut(SPLIT)
    _cut(MODEL / "network.bin")
    line = _refused([SPLIT, MODEL], capsys)
    assert f"{SPLIT}: " in line and f"so are {MODEL}" in line


def test_what_a_rerun_makes_replaces_what_was_recorded(run: Path) -> None:
    shutil.rmtree(MODEL)
    with job(_script("again", made=[MODEL])):
        MODEL.mkdir()
        (MODEL / "other.bin").write_bytes(b"new")
    with job(_script("read", [SPLIT, MODEL])):
        pass
    assert set(json.loads(RECORD.read_text())) == {
        "ingested/train_split.csv",
        "models/flow/0/other.bin",
    }


def test_a_failed_job_records_nothing(run: Path, capsys) -> None:
    before = RECORD.read_bytes()
    with pytest.raises(SystemExit), job(_script("fail", made=[SPLIT])):
        SPLIT.write_text("half")
        raise ArielflowError("a fault")
    assert RECORD.read_bytes() == before
    assert "damaged or edited" in _refused([SPLIT], capsys)


def test_files_of_others_are_neither_recorded_nor_checked(run: Path, tmp_path: Path) -> None:
    elsewhere, neighbour = tmp_path / "data.csv", Path("results/mine2/data.csv")
    neighbour.parent.mkdir()
    with job(_script("make", made=[elsewhere, neighbour])):
        elsewhere.write_text("1")
        neighbour.write_text("1")
    elsewhere.write_text("2")
    with job(_script("read", [elsewhere, neighbour])):
        pass
    assert _log("read") == []
    assert "data.csv" not in RECORD.read_text()


def test_a_run_from_before_the_record_warns_once_a_job(run: Path) -> None:
    RECORD.unlink()
    with job(_script("read", [SPLIT, MODEL])):
        pass
    (line,) = _log("read")
    assert "WARNING" in line and "read unchecked" in line and str(SPLIT) in line
    # Such a run goes on: what it makes from now on is recorded, the rest still warns.
    with job(_script("make", [SPLIT], made=[RUN / "new.csv"])):
        (RUN / "new.csv").write_text("1")
    with job(_script("read", [RUN / "new.csv", SPLIT])):
        pass
    (line,) = _log("read")
    assert str(SPLIT) in line and "new.csv" not in line


def test_hidden_files_of_the_system_in_a_folder_do_not_matter(run: Path) -> None:
    (MODEL / ".snakemake_timestamp").touch()
    (MODEL / ".nfs0001").write_text("x")
    with job(_script("read", [MODEL])):
        pass
    assert _log("read") == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"a": {"sha256": "00", "si',
        b"[]",
        b"\xff\xfe\x00",
        b'{"a": 3}',
        b'{"a": {"size": 3}}',
        b'{"a": {"sha256": 1, "size": 3}}',
        b'{"a": {"sha256": "00", "size": "3"}}',
        b'{"a": {"sha256": "00", "size": 3, "output": "../b"}}',
        b'{"a/b": {"sha256": "00", "size": 3, "output": 1}}',
    ],
)
def test_a_damaged_record_is_one_line_before_any_work(run: Path, content: bytes, capsys) -> None:
    RECORD.write_bytes(content)
    for given in ([SPLIT], []):
        line = _refused(given, capsys)
        assert f"{RECORD}: " in line and "restore it, or remove it" in line


def test_every_file_of_a_finished_run_is_checked(run: Path) -> None:
    files = [RUN / name for name in ("report/index.html", "summary.txt", "submission/flow.hdf5")]
    with job(_script("deliver", made=files)):
        for file in files:
            file.parent.mkdir(exist_ok=True)
            file.write_text("content")
    check_finished(RUN)
    for path, output in ((files[-1], files[-1]), (SPLIT, SPLIT), (MODEL / "network.bin", MODEL)):
        content = path.read_bytes()
        _cut(path)
        with pytest.raises(ArielflowError, match=f"{path}: .* made: .* remove {output} and run"):
            check_finished(RUN)
        path.write_bytes(content)
    SPLIT.unlink()  # what its owner has removed to save room is not missed
    check_finished(RUN)


def _recorder(name: str, count: int) -> subprocess.Popen:
    command = [sys.executable, "-c", _RECORDER, str(RUN), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_jobs_that_end_at_the_same_moment_lose_no_entry() -> None:
    RUN.mkdir(parents=True)
    recorders = [_recorder(name, 40) for name in "abc"]
    assert [recorder.wait() for recorder in recorders] == [0, 0, 0]
    names = {f"{name}{number}.txt" for name in "abc" for number in range(40)}
    assert set(json.loads(RECORD.read_text())) == names
    check_files(RUN, [RUN / name for name in names])


def test_a_kill_leaves_a_whole_record_and_no_lock() -> None:
    RUN.mkdir(parents=True)
    for attempt in range(4):
        recorder = _recorder(f"k{attempt}_", 100_000)
        done = [int(recorder.stdout.readline()) for _ in range(10 + 7 * attempt)]
        recorder.kill()
        recorder.wait()
        recorder.stdout.close()
        check_files(RUN, [RUN / f"k{attempt}_{number}.txt" for number in done])
        assert set(json.loads(RECORD.read_text())) >= {f"k{attempt}_{n}.txt" for n in done}
        begun = time.monotonic()
        record_files(RUN, [RUN / f"k{attempt}_0.txt"])
        assert time.monotonic() - begun < 5
    # What the killed ones left beside the record went with the next that was written.
    left = {path.name for path in RUN.iterdir() if path.suffix != ".txt"}
    assert left == {"checksums.json", ".checksums.lock"}


def test_a_lock_that_is_never_let_go_is_one_line(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = RUN / ".checksums.lock"
    keep = f"import fcntl; f = open({str(lock)!r}, 'a'); fcntl.lockf(f, fcntl.LOCK_EX)"
    keep += "; print('kept', flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", keep], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "kept\n"
    monkeypatch.setattr(checksums, "_LOCK_PATIENCE_S", 0.2)
    with pytest.raises(ArielflowError, match=r"checksums\.lock: another process has kept it"):
        record_files(RUN, [SPLIT])
    holder.communicate("\n")
    record_files(RUN, [SPLIT])
