"""Lists of files to fetch: an address and a checksum each, from servers, folders or a mirror."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, sha256
from arielflow.core.readers import guarded, listed, read_yaml, regular_file, shown
from arielflow.core.tables import read_csv
from arielflow.data.download import download, parsed_checksum

Progress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that have arrived, and all, None if they are not known."""

_REMEDY = "mend the list"
_COLUMNS = ("url", "sha256", "file")
_MOST_LIST_BYTES = 1 << 20
_MOST_FILES = 10_000
_LONGEST_NAME_BYTES = 200
_BLOCK_BYTES = 1 << 20
_REMOTE = ("http", "https")


@dataclass(frozen=True)
class ListedFile:
    """A file to fetch.

    Attributes
    ----------
    url : str
        ``http``, ``https`` or ``file``.
    sha256 : str
        64 hexadecimal digits.
    name : str
        Of the file in the folder that it is fetched to.
    """

    url: str
    sha256: str
    name: str


@dataclass(frozen=True)
class Fetched:
    """What became of a list: names fetched, names that were there, and faults by name."""

    fetched: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)


def read_file_list(path: str | Path) -> list[ListedFile]:
    """Read a list of files: CSV, YAML or text, told by its suffix.

    CSV has the columns ``url``, ``sha256`` and, if files are to be named otherwise than in their
    addresses, ``file``; YAML is a list of mappings with these keys; each line of a text has the
    three in this order, separated by blanks. ``#`` begins a comment of a text.

    Raises
    ------
    ArielflowError
        There is no such list, it is damaged or empty, an entry has no address or checksum, or two
        entries have one name.
    """
    path = regular_file(path)
    if (size := path.stat().st_size) > _MOST_LIST_BYTES:
        raise ArielflowError(
            f"{path}: {size} bytes, expected a list of at most {_MOST_LIST_BYTES}; check the path"
        )
    suffix = path.suffix.lower()
    readers = {".csv": _csv_rows, ".yaml": _yaml_rows, ".yml": _yaml_rows}
    found = [_entry(path, where, row) for where, row in readers.get(suffix, _text_rows)(path)]
    if not 1 <= len(found) <= _MOST_FILES:
        raise ArielflowError(
            f"{path}: lists {len(found)} files, expected 1 to {_MOST_FILES}; {_REMEDY}"
        )
    # Names that differ in case alone are one file on some disks.
    names = [entry.name.lower() for entry in found]
    repeated = sorted({entry.name for entry in found if names.count(entry.name.lower()) > 1})
    if repeated:
        raise ArielflowError(
            f"{path}: more than one entry would become {listed(repeated)}; give them names of "
            "their own (file)"
        )
    return found


Rows = list[tuple[str, dict[str, str]]]


def _csv_rows(path: Path) -> Rows:
    table = read_csv(path, _REMEDY)
    _check_keys(path, "its header", list(table.columns))
    records = table.fillna("").to_dict("records")
    return [(f"row {number} below the header", row) for number, row in enumerate(records, 1)]


def _yaml_rows(path: Path) -> Rows:
    content = read_yaml(path)
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise ArielflowError(
            f"{path}: holds {type(content).__name__}, expected a list of entries with "
            f"{', '.join(_COLUMNS)}; {_REMEDY}"
        )
    rows = []
    for number, row in enumerate(content, 1):
        _check_keys(path, f"entry {number}", list(row))
        if wrong := [key for key, value in row.items() if not isinstance(value, str)]:
            raise ArielflowError(
                f"{path}: entry {number}: {listed(wrong)} is no text; put it in quotation marks"
            )
        rows.append((f"entry {number}", row))
    return rows


def _text_rows(path: Path) -> Rows:
    with guarded(path, "list of files", _REMEDY):
        text = path.read_text(encoding="utf-8-sig")
        if "\x00" in text:
            raise ValueError("it holds binary data")
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not 2 <= len(words) <= len(_COLUMNS):
            raise ArielflowError(
                f"{path}: line {number} has {len(words)} words, expected an address, its sha256 "
                f"and perhaps a file's name; {_REMEDY}"
            )
        rows.append((f"line {number}", dict(zip(_COLUMNS, words, strict=False))))
    return rows


def _check_keys(path: Path, where: str, keys: Sequence[object]) -> None:
    unknown = [key for key in keys if key not in _COLUMNS]
    missing = [key for key in _COLUMNS[:2] if key not in keys]
    if unknown or missing:
        raise ArielflowError(
            f"{path}: {where} has {listed(keys) or 'nothing'}, expected url, sha256 and perhaps "
            f"file; {_REMEDY}"
        )


def _entry(path: Path, where: str, row: dict[str, str]) -> ListedFile:
    url, digits = row["url"].strip(), row["sha256"].strip()
    try:
        parts = urlsplit(url)
        checksum = parsed_checksum(f"sha256:{digits.lower().removeprefix('sha256:')}")[1]
    except (ValueError, ArielflowError) as error:
        raise ArielflowError(f"{path}: {where}: {shown(error, 300)}; {_REMEDY}") from None
    if parts.scheme not in (*_REMOTE, "file"):
        raise ArielflowError(
            f"{path}: {where}: {shown(repr(url), 200)} is no http, https or file address; {_REMEDY}"
        )
    name = row.get("file", "").strip() or unquote(parts.path).rpartition("/")[2]
    if not _is_plain(name):
        raise ArielflowError(
            f"{path}: {where}: {shown(repr(name))} is no file's name; give one without folders "
            "(file)"
        )
    return ListedFile(url, checksum, name)


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file inside its folder, on any system."""
    fits = name.isprintable() and 0 < len(name.encode()) <= _LONGEST_NAME_BYTES
    kept = not name.startswith(".") and not name.endswith(".partial")
    return fits and kept and re.search(r'[/\\:*?"<>|]', name) is None


def fetch_files(
    files: Sequence[ListedFile],
    folder: str | Path,
    *,
    mirror: str | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """Fetch files that a folder does not have yet; a fault of one does not end the others.

    Parameters
    ----------
    files
        See :func:`read_file_list`.
    folder
        To write to; made if need be. Files with the right checksum are left as they are.
    mirror
        A folder, or an address of one (``file``, ``http``, ``https``), that has all files by their
        names; their own addresses are not asked then.
    progress
        See :data:`Progress`.

    Raises
    ------
    ArielflowError
        The folder cannot be written to, or there is no such mirror.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ArielflowError(f"{shown(folder, 400)}: is no folder; choose another")
    source = None if mirror is None else _mirror(mirror)
    folder.mkdir(parents=True, exist_ok=True)
    outcome = Fetched()
    for entry in files:
        try:
            done = _fetch(entry, folder / entry.name, source, progress)
            (outcome.fetched if done else outcome.present).append(entry.name)
        except ArielflowError as error:
            outcome.faults[entry.name] = str(error)
    return outcome


def _mirror(mirror: str) -> Path | str:
    """Folder, or address without a slash at its end."""
    if mirror.split(":", 1)[0].lower() in _REMOTE:
        return mirror.rstrip("/")
    path = _local(mirror) if mirror.lower().startswith("file:") else Path(mirror)
    if not path.is_dir():
        raise ArielflowError(f"{shown(mirror, 400)}: no such mirror; give a folder or its address")
    return path


def _local(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise ArielflowError(
            f"{shown(url, 400)}: names no path of this machine, expected file:///folder/file; "
            "correct the address"
        )
    return Path(unquote(parts.path))


def _fetch(
    entry: ListedFile, path: Path, source: Path | str | None, progress: Progress | None
) -> bool:
    """Fetch one file; False if it was there."""
    if path.exists() or path.is_symlink():
        if sha256(regular_file(path, "move it away")) == entry.sha256:
            return False
        raise ArielflowError(
            f"{path}: is there with another content than the list's sha256 {entry.sha256}; move it "
            "away, or correct the list"
        )
    checksum = f"sha256:{entry.sha256}"
    tell = None if progress is None else _named(progress, entry.name)
    if isinstance(source, Path):
        _copy(source / entry.name, path, entry.sha256, tell)
    elif source is not None:
        download(f"{source}/{quote(entry.name)}", path, checksum, progress=tell)
    elif entry.url.lower().startswith("file:"):
        _copy(_local(entry.url), path, entry.sha256, tell)
    else:
        download(entry.url, path, checksum, progress=tell)
    return True


def _named(progress: Progress, name: str) -> Callable[[int, int | None], None]:
    return lambda done, total: progress(name, done, total)


def _copy(
    source: Path, path: Path, expected: str, progress: Callable[[int, int | None], None] | None
) -> None:
    """Copy a file and check what arrived; nothing is left of another content."""
    total = regular_file(source, "check the mirror and the list").stat().st_size
    digest, done = hashlib.sha256(), 0
    with (
        atomic_path(path) as temporary,
        source.open("rb") as stream,
        temporary.open("wb") as target,
    ):
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
            target.write(block)
            done += len(block)
            if progress is not None:
                progress(done, total)
        if digest.hexdigest() != expected:
            raise ArielflowError(
                f"{shown(source, 400)}: the content has sha256 {digest.hexdigest()}, expected "
                f"{expected}; it was not kept. Check the mirror, or correct the list"
            )
