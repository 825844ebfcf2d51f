"""Digests of code, so that whatever is kept across runs records what made it.

Read as text, so that the Snakefile, which every job parses anew, has them in milliseconds.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[1]
# Logs, checksums and manifests surround a job and change nothing in what it computes.
_AROUND = "arielflow.runs"
_FROM = re.compile(r"^\s*from (arielflow[\w.]*) import (\([^)]*\)|[^\n]*)", re.MULTILINE)
_IMPORT = re.compile(r"^\s*import (arielflow[\w.]*)", re.MULTILINE)
# What only a type checker imports computes nothing.
_FOR_TYPES = re.compile(r"^if TYPE_CHECKING:\n(?:(?:[ \t][^\n]*)?\n)+", re.MULTILINE)


@cache
def code_digest(*names: str) -> str:
    """Short digest of code, so that whatever is kept across runs records the code that made it.

    It follows the imports, so that nobody has to keep a list of modules; ``arielflow.runs`` is left
    out.

    Parameters
    ----------
    names
        Modules, such as ``arielflow.models.ensemble``, and packages, of which all that is in them;
        what these import of arielflow, directly or not, is part of the digest.

    Raises
    ------
    ValueError
        There is no such module in arielflow.
    """
    todo = [file for name in names for file in _sources(name, whole=True)]
    found: set[Path] = set()
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += [other for name in imported(file) for other in _sources(name)]
    digest = hashlib.sha256()
    for file in sorted(found):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(_ROOT)}\0{content}\0".encode())
    return digest.hexdigest()[:16]


@cache
def imported(file: Path) -> list[str]:
    """Modules of arielflow that a source file imports anywhere in it.

    ``arielflow.runs`` and imports for a type checker alone are left out.

    Parameters
    ----------
    file
        A module of arielflow, or a script.
    """
    text, names = _FOR_TYPES.sub("", file.read_text()), []
    for module, things in _FROM.findall(text):
        names.append(module)
        names += [f"{module}.{name}" for name in re.findall(r"(\w+)(?: as \w+)?", things)]
    names += _IMPORT.findall(text)
    modules = (name for name in dict.fromkeys(names) if _sources(name))
    return [name for name in modules if not f"{name}.".startswith(f"{_AROUND}.")]


def _sources(name: str, whole: bool = False) -> list[Path]:
    """Source files of a module or package; none for a name that is neither, such as a function."""
    path = _ROOT.parent.joinpath(*name.split("."))
    if path.is_dir():
        files = sorted(path.rglob("*.py")) if whole else [path / "__init__.py"]
        return files + _tables(path)
    file = path.with_name(f"{path.name}.py")
    if whole and not file.is_file():
        raise ValueError(f"{name}: no module of arielflow")
    return [file, *_tables(file.parent)] if file.is_file() else []


@cache
def _tables(package: Path) -> list[Path]:
    """Tables and templates of a package, which shape results as its code does."""
    if package == _ROOT:
        return []
    files = (file for file in package.rglob("*.*") if file.is_file())
    return sorted(file for file in files if file.suffix not in (".py", ".pyc"))
