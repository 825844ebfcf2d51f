"""Official submission files: write them, read them back, list everything wrong with one."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import xarray as xr

from arielflow.editions import Edition
from arielflow.editions.official_files import (
    AUXILIARY_TABLE,
    QUARTILES,
    open_hdf5,
    quartile_columns,
    read_table,
    read_traces,
    split_folder,
)
from arielflow.errors import ArielflowError
from arielflow.posterior import WeightedSamples, weighted_quantiles
from arielflow.provenance import atomic_path, write_json
from arielflow.schema import trace_of
from arielflow.scoring import official

_WEIGHT_SUM_TOLERANCE = 1e-6


def write_submission(
    posterior: xr.Dataset, edition: Edition, directory: str | Path, model: str
) -> list[Path]:
    """Write every track's official file of one model.

    Parameters
    ----------
    posterior
        Posterior dataset of all test planets, in the test table's order.
    edition
        Gives the tracks and sample limits.
    directory
        Receives ``<model>.hdf5`` and, for the light track, ``<model>.csv``.

    Raises
    ------
    ArielflowError
        The number of samples is outside the edition's limits.
    """
    fewest, most = edition.sample_limits
    if not fewest <= posterior.sizes["sample"] <= most:
        raise ArielflowError(
            f"submission of {model}: {posterior.sizes['sample']} samples a planet, edition "
            f"{edition.name} allows {fewest} to {most}; change n_samples"
        )
    writers = {"regular": _write_regular, "light": _write_light}
    paths = []
    for track, suffix in edition.tracks.items():
        path = Path(directory) / f"{model}{suffix}"
        with atomic_path(path) as temporary:
            writers[track](posterior, edition, temporary)
        paths.append(path)
    return paths


def submit(
    posterior: xr.Dataset,
    edition: Edition,
    directory: str | Path,
    model: str,
    test_folder: str | Path,
    check: str | Path,
) -> None:
    """Write a model's official files and check them; the verdict goes to the JSON file ``check``.

    Raises
    ------
    ArielflowError
        A file that was written is not valid.
    """
    paths = write_submission(posterior, edition, directory, model)
    faults = {str(path): check_submission(path, edition, test_folder) for path in paths}
    valid = not any(faults.values())
    write_json({"valid": valid, "faults": faults}, check)
    if not valid:
        path, found = next((p, f) for p, f in faults.items() if f)
        raise ArielflowError(f"{path}: {found[0]} ({len(found)} faults); see {check}")


def check_faults(check: str | Path, submissions: dict[str, str]) -> dict[str, list[str]]:
    """Faults by track out of the file that :func:`submit` wrote, for files by track."""
    faults = json.loads(Path(check).read_text())["faults"]
    return {track: faults[str(path)] for track, path in submissions.items()}


def _write_regular(posterior: xr.Dataset, edition: Edition, path: Path) -> None:
    with h5py.File(path, "w") as file:
        for row, identifier in enumerate(posterior["planet"].values):
            weight = posterior["weight"].values[row]
            group = file.create_group(edition.group(identifier))
            group.attrs["ID"] = row
            group["tracedata"] = posterior["theta"].values[row]
            group["weights"] = weight / weight.sum()


def _write_light(posterior: xr.Dataset, edition: Edition, path: Path) -> None:
    rows = [
        weighted_quantiles(theta, weight, QUARTILES).T.ravel()
        for theta, weight in zip(posterior["theta"].values, posterior["weight"].values, strict=True)
    ]
    table = pd.DataFrame(rows, columns=quartile_columns(edition))
    table.insert(0, "planet_ID", posterior["planet"].values)
    table.to_csv(path, index=False)


def read_submission(path: str | Path, edition: Edition) -> dict[str, WeightedSamples]:
    """Samples and weights of every planet of a regular-track file, by group name.

    Raises
    ------
    ArielflowError
        The file is unreadable or a planet lacks a dataset.
    """
    samples = {}
    with open_hdf5(Path(path)) as file:
        for group in file:
            try:
                samples[group] = (file[group]["tracedata"][()], file[group]["weights"][()])
            except (KeyError, TypeError, AttributeError):
                raise ArielflowError(
                    f"{path}: {group} lacks tracedata or weights; every planet needs both"
                ) from None
            except OSError as error:
                raise ArielflowError(
                    f"{path}: {group} is not readable ({error}); write the file again"
                ) from None
    return samples


def score_submission(
    path: str | Path, edition: Edition, truth: str | Path, seed: int
) -> dict[str, float]:
    """Official posterior score of every annotated planet of a submission.

    Parameters
    ----------
    path
        Regular-track HDF5 file, or light-track CSV.
    edition
        Whose metric.
    truth
        Traces of the test planets in the official format.
    seed
        Of the metric's resampling.

    Raises
    ------
    ArielflowError
        A file is unreadable, a planet is missing, or the edition has no posterior score.
    """
    if not edition.tracks:
        raise ArielflowError(f"edition {edition.name} has no submissions to score")
    prefix = edition.group("")
    with open_hdf5(Path(truth)) as file:
        identifiers = sorted((name.removeprefix(prefix) for name in file), key=_natural)
    traces = read_traces(truth, edition, identifiers)
    annotated = [i for i, n in zip(identifiers, traces["row_size"].values, strict=True) if n]
    if not annotated:
        raise ArielflowError(f"{truth}: no planet has a trace; give the test planets' truth")
    true = [trace_of(traces, identifier) for identifier in annotated]
    if Path(path).suffix == ".csv":
        return _score_light(Path(path), edition, annotated, true)
    samples = read_submission(path, edition)
    missing = [i for i in annotated if edition.group(i) not in samples]
    if missing:
        raise ArielflowError(
            f"{path}: planet {missing[0]} of {truth} is missing ({len(missing)} in all); "
            "submit every test planet"
        )
    predicted = [samples[edition.group(i)] for i in annotated]
    for identifier, (theta, _) in zip(annotated, predicted, strict=True):
        if np.ndim(theta) != 2 or np.shape(theta)[1] != len(edition.targets):
            raise ArielflowError(
                f"{path}: planet {identifier} has tracedata of shape {np.shape(theta)}, edition "
                f"{edition.name} expects (n, {len(edition.targets)}); check the edition"
            )
    low, high = np.array([target.score_bounds for target in edition.targets], dtype=float).T
    try:
        if "adc2022_regular" in edition.metrics:
            scores = official.regular_track_scores(predicted, true, low, high, seed)
        else:
            scores = official.posterior_scores(predicted, true, low, high, seed)[0]
    except ArielflowError as error:
        raise ArielflowError(f"{path}: {error}") from None
    return dict(zip(annotated, map(float, scores), strict=True))


def _natural(name: str) -> tuple[str, int]:
    """Sort key that puts public10 after public9."""
    digits = name[len(name.rstrip("0123456789")) :]
    return name.removesuffix(digits), int(digits or 0)


def _score_light(
    path: Path, edition: Edition, annotated: list[str], true: list[WeightedSamples]
) -> dict[str, float]:
    table = read_table(path, quartile_columns(edition))
    missing = [identifier for identifier in annotated if identifier not in table.index]
    if missing:
        raise ArielflowError(
            f"{path}: planet {missing[0]} is missing ({len(missing)} in all); "
            "submit every test planet"
        )
    scores = {}
    for identifier, (theta, weight) in zip(annotated, true, strict=True):
        predicted = table.loc[identifier].to_numpy(float).reshape(-1, 3).T[None]
        quartiles = weighted_quantiles(theta, weight, QUARTILES)[None]
        scores[identifier] = official.light_track_score(predicted, quartiles)
    return scores


def check_submission(path: str | Path, edition: Edition, test_folder: str | Path) -> list[str]:
    """Every fault of a submission against the rules, one line each; none if it is valid.

    Parameters
    ----------
    path
        Regular-track HDF5 file, or light-track CSV where the edition has one.
    edition
        Whose rules.
    test_folder
        Folder of the test data, which names the planets.

    Raises
    ------
    ArielflowError
        The test data cannot be read.
    """
    path = Path(path)
    columns = [column.name for column in edition.auxiliary]
    table = read_table(split_folder(test_folder, "test") / AUXILIARY_TABLE, columns)
    identifiers = list(table.index)
    suffixes = {suffix: track for track, suffix in edition.tracks.items()}
    if path.suffix not in suffixes:
        return [
            f"{path}: file type {path.suffix or 'none'}, edition {edition.name} takes "
            f"{' or '.join(suffixes) or 'no submissions'}"
        ]
    check = _check_light if suffixes[path.suffix] == "light" else _check_regular
    try:
        return check(path, edition, identifiers)
    except ArielflowError as error:
        return [str(error)]


def _check_regular(path: Path, edition: Edition, identifiers: list[str]) -> list[str]:
    groups = [edition.group(identifier) for identifier in identifiers]
    faults = []
    with open_hdf5(path) as file:
        found = set(file)
        faults += [f"{name}: planet is missing" for name in groups if name not in found]
        faults += [
            f"{name}: planet is not in the test data" for name in sorted(found - set(groups))
        ]
        for row, name in enumerate(groups):
            if name in found:
                faults += [f"{name}: {fault}" for fault in _planet_faults(file[name], row, edition)]
    return faults


def _planet_faults(group: h5py.Group, row: int, edition: Edition) -> list[str]:
    faults = []
    if not isinstance(group, h5py.Group):
        return ["is not a group"]
    if group.attrs.get("ID", None) != row:
        faults.append(f"attribute ID is {group.attrs.get('ID', 'missing')}, expected {row}")
    absent = [name for name in ("tracedata", "weights") if name not in group]
    if absent:
        return [*faults, *(f"dataset {name} is missing" for name in absent)]
    try:
        theta = np.asarray(group["tracedata"][()], dtype=float)
        weight = np.asarray(group["weights"][()], dtype=float)
    except (OSError, ValueError, TypeError) as error:
        return [*faults, f"is not readable as numbers ({error})"]
    n_targets = len(edition.targets)
    if theta.ndim != 2 or theta.shape[1] != n_targets:
        faults.append(f"tracedata has shape {theta.shape}, expected (n, {n_targets})")
    fewest, most = edition.sample_limits
    n_samples = len(theta) if theta.ndim else 0
    if not fewest <= n_samples <= most:
        faults.append(f"{n_samples} samples, expected {fewest} to {most}")
    if not np.isfinite(theta).all():
        faults.append(f"{int((~np.isfinite(theta)).sum())} values of tracedata are not finite")
    if weight.shape != (n_samples,):
        faults.append(f"weights have shape {weight.shape}, expected ({n_samples},)")
    if not np.isfinite(weight).all():
        return [*faults, f"{int((~np.isfinite(weight)).sum())} weights are not finite"]
    if (weight < 0).any():
        faults.append(f"{int((weight < 0).sum())} weights are negative")
    if abs(weight.sum() - 1) > _WEIGHT_SUM_TOLERANCE:
        faults.append(f"weights sum to {weight.sum():.6g}, expected 1")
    return faults


def _check_light(path: Path, edition: Edition, identifiers: list[str]) -> list[str]:
    columns = quartile_columns(edition)
    table = read_table(path, columns)
    faults = [f"planet {name}: missing" for name in identifiers if name not in table.index]
    faults += [
        f"planet {name}: not in the test data"
        for name in table.index.difference(identifiers, sort=True)
    ]
    for target in edition.targets:
        names = [f"{target.quartile_prefix}_q{q}" for q in (1, 2, 3)]
        values = table[names].to_numpy()
        bad = ~np.isfinite(values).all(axis=1)
        faults += [
            f"planet {p}: a quartile of {target.name} is not finite" for p in table.index[bad]
        ]
        with np.errstate(invalid="ignore"):
            descending = ~bad & (np.diff(values, axis=1) < 0).any(axis=1)
        faults += [
            f"planet {p}: the quartiles of {target.name} do not ascend"
            for p in table.index[descending]
        ]
    return faults
