"""What a run starts from: checked, and marked for changes, while the workflow is parsed.

Snakemake takes a result whose input is missing for one that needs no input, so nothing later would
notice that a folder is not there. Files are asked for their size and time, never read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from arielflow.core.readers import listed, shown
from arielflow.runs.config_faults import config_faults, entry_faults
from arielflow.runs.frame_runs import completed, frame_faults, frame_part, has_frames

_WFC3_FILES = ("testing.npy", "error_bars.npy", "wavelength.npy", "WASP12b.npy")
_SPLIT_FOLDERS = {"train": "TrainingData", "test": "TestData"}
_SPLIT_FILES = ("AuxillaryTable.csv", "SpectralData.hdf5")
# Read where they are there.
_TRUTH_FILES = tuple(
    f"Ground Truth Package/{name}"
    for name in ("FM_Parameter_Table.csv", "Tracedata.hdf5", "TraceData.hdf5")
)
_MOST_LISTED = 1000


def run_faults(
    config: dict[str, Any], home: str | Path = ".", default: Mapping[str, Any] | None = None
) -> list[str]:
    """What is wrong with a configuration or missing of what its run starts from, one line each.

    Parameters
    ----------
    config
        The merged configuration, whose paths are written out (:func:`expand_paths`). Of an edition
        with detector frames nothing but its own settings is left, all of them.
    home
        Folder of the workflow (:func:`expand_paths`).
    default
        The default run's configuration, over which the user's was laid.
    """
    if has_frames(config):
        own = frame_part(config, default or {})
        if faults := [*entry_faults(own)] or frame_faults(own):
            return faults
        config.clear()
        config.update(completed(own))
        return []
    if faults := config_faults(config):
        return faults
    expand_paths(config, home)
    return input_faults(config)


def expand_paths(config: dict[str, Any], home: str | Path = ".") -> None:
    """Write out ``~`` and variables of the environment in a configuration's paths, in place.

    Parameters
    ----------
    config
        A configuration without faults (:func:`arielflow.runs.config_faults.config_faults`).
    home
        Folder of the workflow, where truth that the working directory does not have is looked for:
        it ships with the workflow.
    """
    dataset, physics, simulation = (config[key] for key in ("dataset", "physics", "simulation"))
    for key in ("path", "test_path"):
        dataset[key] = dataset[key] and _path(dataset[key])
    physics["opacities"] = _path(physics["opacities"])
    library = [_path(name) for name in simulation["truth_library"]]
    shipped = [str(Path(home, name)) for name in library]
    simulation["truth_library"] = [
        there if _is_file(there) and not _is_file(name) else name
        for name, there in zip(library, shipped, strict=True)
    ]
    # An address such as docker://… keeps its two slashes.
    config["container"] = config["container"] and _expanded(config["container"])


def _expanded(text: str) -> str:
    text = os.path.expandvars(text)
    # pathlib would make one slash of an address's two, and refuses another user's unknown home.
    return f"{Path.home()}{text[1:]}" if text == "~" or text.startswith("~/") else text


def _path(text: str) -> str:
    return str(Path(_expanded(text)))


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a folder on the way may not be searched, or a name is too long
        return False


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def dataset_files(
    folder: str,
    edition: str,
    split: str,
    sources: Collection[str] = (),
    *,
    simulated: bool = False,
) -> list[str]:
    """Files that ingesting a split of a data set reads.

    Parameters
    ----------
    folder, edition, split
        Which data set, and which part of it; test data may also lie directly in the folder.
    sources
        Names below the folder of files that are brought there from elsewhere.
    simulated
        The workflow makes the folder itself.
    """
    if edition == "wfc3":
        needed, more = list(_WFC3_FILES), []
    else:
        below = f"{_SPLIT_FOLDERS[split]}/"
        nested = simulated or _is_folder(f"{folder}/{below}")
        nested = nested or any(name.startswith(below) for name in sources)
        start = below if nested else ""
        needed = [start + name for name in _SPLIT_FILES]
        more = [] if simulated else [start + name for name in _TRUTH_FILES]
    more = [name for name in more if name in sources or _is_file(f"{folder}/{name}")]
    return [f"{folder}/{name}" for name in dict.fromkeys([*needed, *more, *sources])]


def file_marks(paths: Sequence[str]) -> list[str]:
    """Size [bytes] and time [s] of files, which also show that a file was replaced by an older one.

    Snakemake alone compares times with those of its results.
    """
    marks = []
    for path in paths:
        found = Path(path).stat()
        marks.append(f"{found.st_size} {int(found.st_mtime)}")
    return marks


def input_faults(config: Mapping[str, Any]) -> list[str]:
    """Missing files and folders that a run would start from, one line per fault.

    Parameters
    ----------
    config
        A configuration without faults, its paths written out (:func:`expand_paths`).
    """
    dataset, opacities = config["dataset"], config["physics"]["opacities"]
    faults = [*_dataset_faults(dataset, config["edition"])]
    if opacities != "builtin" and (fault := _folder_fault(opacities)):
        faults.append(f"config: physics.opacities: {fault}, or write builtin")
    if dataset["path"] is None:
        faults += [
            f"config: simulation.truth_library: {shown(name, 400)}: no such file{_unset(name)}; "
            "check the path, or write [] to sample all truth anew (minutes per planet)"
            for name in config["simulation"]["truth_library"]
            if not _is_file(name)
        ]
    return faults


def _dataset_faults(dataset: Mapping[str, Any], edition: str) -> Iterator[str]:
    path, test_path, sources = dataset["path"], dataset["test_path"], dataset["sources"]
    faults = []
    if path is not None:
        faults = list(_files_faults("dataset.path", path, edition, "train", sources))
        yield from faults
    if edition == "wfc3":
        return  # one file holds all its planets
    if test_path is not None:
        yield from _files_faults("dataset.test_path", test_path, edition, "test", ())
    elif path is not None and not faults:
        test = dataset_files(path, edition, "test", sources)
        if test == dataset_files(path, edition, "train", sources):
            yield (
                f"config: dataset.path: {shown(path, 400)}: training and test planets would be the "
                "same; give the folder that holds TrainingData and TestData, or dataset.test_path"
            )
        else:
            yield from _files_faults("dataset.path", path, edition, "test", sources)


def _files_faults(
    key: str, folder: str, edition: str, split: str, sources: Collection[str]
) -> Iterator[str]:
    """The first thing that a folder of data lacks, if anything."""
    brought = {f"{folder}/{name}" for name in sources}
    files = dataset_files(folder, edition, split, sources)
    missing = [name for name in files if name not in brought and not _is_file(name)]
    if not missing:
        return
    if fault := _folder_fault(folder):
        yield f"config: {key}: {fault}"
        return
    names = [name.removeprefix(f"{folder}/") for name in missing]
    with os.scandir(folder) as entries:
        found = sorted(entry.name for entry in islice(entries, _MOST_LISTED))
    yield (
        f"config: {key}: {shown(folder, 400)}: holds no {' and no '.join(names)}, found "
        f"{listed(found) or 'nothing'}; check the path, or fetch the files"
    )


def _folder_fault(folder: str) -> str | None:
    where = shown(folder, 400)
    if _is_file(folder):
        return f"{where}: is a file, expected a folder; check the path"
    if not _is_folder(folder):
        start = "" if Path(folder).is_absolute() else f" in {shown(Path.cwd(), 400)}"
        return f"{where}: no such folder{start}{_unset(folder)}; check the path"
    if not os.access(folder, os.R_OK | os.X_OK):
        return f"{where}: may not be read; mend its permissions"
    return None


def _unset(path: str) -> str:
    """Names the variable of the environment that a path still holds, since it is not set."""
    found = re.search(r"\$\{?\w+\}?", path)
    return f" ({found[0]} is not set)" if found else ""
