"""Lists of files to fetch: their formats and faults, mirrors, what is there already."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from remote_servers import file_server

from arielflow.core.errors import ArielflowError
from arielflow.data.file_lists import Fetched, ListedFile, fetch_files, read_file_list

CONTENT = {"H2O.h5": b"water" * 100_000, "C O.kta": b"carbon" * 1000}
DIGITS = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
URLS = {"H2O.h5": "https://x.org/a/H2O.h5?download=1", "C O.kta": "https://x.org/C%20O.kta"}
EXPECTED = [ListedFile(URLS[name], DIGITS[name], name) for name in CONTENT]


def _lines(separator: str) -> list[str]:
    return [separator.join((URLS[name], DIGITS[name])) for name in CONTENT]


LISTS = {
    "text": ("list.txt", "# two files\n\n" + "\n".join(_lines(" ")) + "\n"),
    "no suffix, tabs": ("list", "\n".join(_lines("\t"))),
    "CRLF, BOM": ("list.txt", "\ufeff" + "\r\n".join(_lines("  ")) + "\r\n"),
    "CSV": ("list.csv", "\n".join(["url,sha256", *_lines(",")])),
    "CSV with names": (
        "list.csv",
        "\n".join(["sha256,file,url", *(f"{DIGITS[n]},{n},{URLS[n]}" for n in CONTENT)]),
    ),
    "YAML": (
        "list.yaml",
        "\n".join(f"- url: {URLS[n]}\n  sha256: sha256:{DIGITS[n].upper()}" for n in CONTENT),
    ),
}


@pytest.mark.parametrize("case", LISTS)
def test_lists_are_read_in_each_format(tmp_path: Path, case: str) -> None:
    name, text = LISTS[case]
    (tmp_path / name).write_bytes(text.encode())
    assert read_file_list(tmp_path / name) == EXPECTED


URL, SUM = "https://x.org/a.h5", "0" * 64
FAULTS = {
    "empty": ("l.txt", "", "lists 0 files"),
    "comments": ("l.txt", "# none\n", "lists 0 files"),
    "one word": ("l.txt", f"{URL}\n", "line 1 has 1 words"),
    "four words": ("l.txt", f"# a list\n{URL} {SUM} a b\n", "line 2 has 4 words"),
    "checksum short": ("l.txt", f"{URL} 00ff\n", "line 1: checksum"),
    "checksum of another kind": ("l.txt", f"{URL} md5:{'0' * 32}\n", "line 1: checksum"),
    "swapped": ("l.txt", f"{SUM} {URL}\n", "line 1: checksum"),
    "ftp": ("l.txt", f"ftp://x.org/a {SUM}\n", "no http, https or file address"),
    "no scheme": ("l.txt", f"/a.h5 {SUM}\n", "no http, https or file address"),
    "broken address": ("l.txt", f"https://[x {SUM}\n", "line 1: Invalid IPv6"),
    "no name": ("l.txt", f"https://x.org/ {SUM}\n", "'' is no file's name"),
    "climbs": ("l.txt", f"{URL} {SUM} ../a.h5\n", "'../a.h5' is no file's name"),
    "climbs in the address": ("l.txt", f"https://x.org/%2e%2e {SUM}\n", "'..' is no file's"),
    "folder in the address": ("l.txt", f"https://x.org/a%2Fb {SUM}\n", None),
    "hidden": ("l.txt", f"{URL} {SUM} .bashrc\n", "is no file's name"),
    "terminal orders": ("l.txt", f"{URL} {SUM} a\x1b[31m\n", "is no file's name"),
    "long": ("l.txt", f"{URL} {SUM} {'a' * 300}\n", "is no file's name"),
    "twice": ("l.txt", f"{URL} {SUM}\nhttps://y.org/A.h5 {SUM}\n", "more than one entry"),
    "binary": ("l.txt", "a\x00b\n", "binary data"),
    "Latin-1": ("l.txt", b"\xe9 \xe9", "not a readable list"),
    "CSV without checksum": ("l.csv", f"url\n{URL}\n", "expected url, sha256"),
    "CSV with more": ("l.csv", f"url,sha256,size\n{URL},{SUM},3\n", "expected url, sha256"),
    "CSV cell missing": ("l.csv", f"url,sha256\n{URL},\n", "row 1 below the header: checksum"),
    "YAML mapping": ("l.yaml", f"url: {URL}\n", "holds dict, expected a list"),
    "YAML of texts": ("l.yml", f"- {URL}\n", "expected a list"),
    "YAML key": ("l.yml", f"- url: {URL}\n  md5: a\n", "entry 1 has url, md5"),
    "YAML number": ("l.yml", f"- url: {URL}\n  sha256: {'1' * 64}\n", "sha256 is no text"),
    "YAML empty": ("l.yml", "", "holds NoneType"),
    "JSON brackets": ("l.yml", "[[[", "not a readable YAML"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_of_a_list_are_one_line(tmp_path: Path, case: str) -> None:
    name, text, words = FAULTS[case]
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if words is None:  # the last part of the address is the name
        assert read_file_list(path)[0].name == "b"
        return
    with pytest.raises(ArielflowError) as fault:
        read_file_list(path)
    assert words in str(fault.value) and str(path) in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_list_is_a_file_of_some_size(tmp_path: Path) -> None:
    (tmp_path / "vast.txt").write_bytes(b"#" * (1 << 21))
    os.mkfifo(tmp_path / "pipe.txt")
    for name, words in (("vast.txt", "at most"), ("pipe.txt", "pipe"), ("", "folder")):
        with pytest.raises(ArielflowError, match=words):
            read_file_list(tmp_path / name)


def fetched(folder: Path, **options) -> Fetched:
    return fetch_files(EXPECTED, folder, **options)


def test_files_come_from_a_server_and_are_resumed(tmp_path: Path) -> None:
    name = "H2O.h5"
    with file_server({f"/{name}": CONTENT[name]}) as server:
        files = [ListedFile(f"{server.url}/{name}", DIGITS[name], "water.h5")]
        (tmp_path / "water.h5.partial").write_bytes(CONTENT[name][:100_000])
        seen = []
        outcome = fetch_files(files, tmp_path, progress=lambda *told: seen.append(told))
        assert outcome == Fetched(["water.h5"], [], {})
        assert server.ranges == ["bytes=100000-"]
        assert seen[-1] == ("water.h5", 500_000, 500_000)
        assert fetch_files(files, tmp_path) == Fetched([], ["water.h5"], {})
        assert len(server.ranges) == 1, "a file that is there was asked for"
    assert [path.name for path in tmp_path.iterdir()] == ["water.h5"]


@pytest.mark.parametrize("kind", ["folder", "file://", "server", "entries"])
def test_mirrors_need_no_publisher(tmp_path: Path, kind: str) -> None:
    mirror, folder = tmp_path / "the mirror", tmp_path / "below" / "here"
    mirror.mkdir()
    for name, content in CONTENT.items():
        (mirror / name).write_bytes(content)
    expected = Fetched(list(CONTENT), [], {})
    if kind == "server":
        served = {"/m/H2O.h5": CONTENT["H2O.h5"], "/m/C%20O.kta": CONTENT["C O.kta"]}
        with file_server(served) as server:
            assert fetched(folder, mirror=f"{server.url}/m/") == expected
    elif kind == "entries":
        files = [ListedFile((mirror / n).as_uri(), DIGITS[n], n) for n in CONTENT]
        assert fetch_files(files, folder) == expected
    else:
        address = str(mirror) if kind == "folder" else mirror.as_uri()
        seen = []
        assert fetched(folder, mirror=address, progress=lambda *a: seen.append(a)) == expected
        assert seen[-1] == ("C O.kta", 6000, 6000)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == CONTENT


def test_wrong_content_is_refused_and_not_kept(tmp_path: Path) -> None:
    mirror, folder = tmp_path / "mirror", tmp_path / "here"
    mirror.mkdir()
    (mirror / "H2O.h5").write_bytes(CONTENT["H2O.h5"][:-1])
    outcome = fetched(folder, mirror=str(mirror))
    assert outcome.fetched == [] and list(outcome.faults) == list(CONTENT)
    assert "the content has sha256" in outcome.faults["H2O.h5"]
    assert "no such file" in outcome.faults["C O.kta"]
    assert list(folder.iterdir()) == []
    with file_server({"/H2O.h5": b"other"}) as server:
        outcome = fetched(folder, mirror=server.url)
    assert "the content has sha256" in outcome.faults["H2O.h5"]
    assert "404" in outcome.faults["C O.kta"] and list(folder.iterdir()) == []


def test_other_files_are_not_written_over(tmp_path: Path) -> None:
    mirror, folder = tmp_path / "mirror", tmp_path / "here"
    for path in (mirror, folder):
        path.mkdir()
    for name, content in CONTENT.items():
        (mirror / name).write_bytes(content)
    (folder / "H2O.h5").write_bytes(b"mine")
    (folder / "C O.kta").symlink_to(tmp_path / "elsewhere")
    outcome = fetched(folder, mirror=str(mirror))
    assert "another content" in outcome.faults["H2O.h5"] and len(outcome.faults) == 2
    assert (folder / "H2O.h5").read_bytes() == b"mine" and not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("mirror", ["absent", "file:///absent", "file://host/absent"])
def test_a_mirror_that_is_not_there_is_told(tmp_path: Path, mirror: str) -> None:
    with pytest.raises(ArielflowError, match=r"no such mirror|no path of this machine"):
        fetched(tmp_path / "here", mirror=mirror)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArielflowError, match="is no folder"):
        fetched(tmp_path / "file")
