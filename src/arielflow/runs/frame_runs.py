"""What a run with detector frames starts from: its configuration, planets and files.

Light, as the Snakefile asks; files are asked for their names, never read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from arielflow.core.planet_folders import NUMBER, planet_folders
from arielflow.core.readers import listed, shown
from arielflow.core.setting_faults import setting_faults
from arielflow.settings.editions import FRAME_EDITION_NAMES
from arielflow.settings.frame_run import FrameRunConfig
from arielflow.settings.run import RunConfig

_MOST_PLANETS = 100_000

# Tables that the rules read, by edition; a test keeps them in step with the editions.
TABLES = {
    "adc2024": {
        "labels": "train_labels.csv",
        "train": "train_adc_info.csv",
        "test": "test_adc_info.csv",
    },
    "adc2025": {"labels": "train.csv", "train": "adc_info.csv", "test": "adc_info.csv"},
}


def has_frames(config: Mapping[str, Any]) -> bool:
    """The configuration's edition is one with detector frames."""
    return config.get("edition") in FRAME_EDITION_NAMES


def frame_part(config: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what the default run says for editions with spectra.

    What differs from the default run's stays: it is a fault, which :func:`frame_faults` tells.
    """
    others = set(RunConfig.model_fields) - set(FrameRunConfig.model_fields)
    return {
        key: value
        for key, value in config.items()
        if key not in others or value != default.get(key)
    }


def frame_faults(config: Mapping[str, Any]) -> list[str]:
    """What is wrong with the configuration, or missing of what the run starts from."""
    faults = [f"config: {fault}" for fault in sorted(setting_faults(FrameRunConfig, config))]
    return faults or input_faults(config)


def completed(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without faults, with its defaults and its path written out."""
    whole = FrameRunConfig.model_validate(config).model_dump(mode="json")
    whole["frames"]["path"] = str(Path(os.path.expandvars(whole["frames"]["path"])).expanduser())
    return whole


def input_faults(config: Mapping[str, Any]) -> list[str]:
    """Missing files and folders, one line per fault."""
    folder = Path(os.path.expandvars(config["frames"]["path"])).expanduser()
    start = f"config: frames.path: {shown(folder, 400)}:"
    if not folder.is_dir():
        return [f"{start} no such folder; check the path"]
    if not split_planets(folder, "train"):
        found = sorted(entry.name for entry in os.scandir(folder))
        return [
            f"{start} train/ holds no folders of planets, found {listed(found) or 'nothing'}; "
            "check the path, or fetch the data set"
        ]
    tables = TABLES[config["edition"]]
    needed = {tables["labels"], tables["train"]}
    if split_planets(folder, "test"):
        needed.add(tables["test"])
    missing = sorted(name for name in needed if not (folder / name).is_file())
    return [f"{start} holds no {' and no '.join(missing)}; fetch the tables"] if missing else []


def split_planets(folder: str | Path, split: str) -> list[str]:
    """Names of a split's planets, by number; none where there is no such split."""
    return planet_folders(Path(folder, split))


def planets_to_submit(folder: str | Path) -> list[str]:
    """Test planets that have a folder or stand in the sample submission."""
    planets = split_planets(folder, "test")
    sample = Path(folder, "sample_submission.csv")
    if planets and sample.is_file():
        with sample.open(encoding="utf-8-sig", errors="replace") as table:
            names = [line.partition(",")[0].strip() for line in islice(table, 1, _MOST_PLANETS)]
        known = {name.partition(".")[0] for name in planets}
        planets += [n for n in names if NUMBER.fullmatch(n) and n.partition(".")[0] not in known]
    return planets


def chunks(planets: list[str], size: int) -> list[list[str]]:
    """The planets in groups of at most ``size``, of one job each."""
    return [planets[start : start + size] for start in range(0, len(planets), size)]


def frame_files(folder: str | Path, split: str, planets: list[str]) -> list[str]:
    """Signal files of planets, whose times tell whether to calibrate them anew."""
    files = []
    for planet in planets:
        place = Path(folder, split, planet)
        if not place.is_dir():
            continue
        with os.scandir(place) as entries:
            files += [entry.path for entry in entries if entry.name.endswith(".parquet")]
    return sorted(files)
