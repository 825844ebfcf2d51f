"""What a report shows: the inputs in memory, and how to load them from a run's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.errors import ArielflowError
from arielflow.core.files import sha256
from arielflow.core.netcdf import check_plain
from arielflow.core.readers import guarded, listed, read_json_object, regular_file, shown
from arielflow.core.samples import WeightedSamples
from arielflow.core.schema import open_dataset
from arielflow.core.tables import numeric_column, read_csv, read_results
from arielflow.evaluation.detection_tables import DetectionTables
from arielflow.models.importances import read_importances
from arielflow.runs.resources import measured_jobs

MAIN_SCORES = ("final_score", "posterior_score", "r2_mean", "score")
"""Scores that may rank the models, the most telling first."""

REMEDY = "run the step that makes it"
_HISTORY = ("epoch", "train_loss", "valid_loss")


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report may show; what is None or empty is left out with a remark.

    Attributes
    ----------
    title, run, edition_title : str
        Names for people; the run's short name.
    facts : Sequence[tuple[str, object]]
        Label and value of what was run (sizes, prior, seeds …).
    config : Mapping[str, Any] | None
        The run's configuration.
    chosen : str | None
        Name of the model that the configuration would submit.
    quality : pd.DataFrame | None
        Table of suspect planets.
    train, test, observed : xr.Dataset | None
        Planets datasets.
    exploration : xr.Dataset | None
        Result of :func:`arielflow.exploration.components.explore`.
    representation : xr.Dataset | None
        Result of :func:`arielflow.exploration.representations.compare_representations`.
    disentangled : xr.Dataset | None
        Result of :func:`arielflow.exploration.disentangle.compare_disentangled`.
    histories : Mapping[str, pd.DataFrame]
        Tables ``epoch``, ``train_loss``, ``valid_loss`` by ``model/member``.
    leaderboard : pd.DataFrame | None
        One row per model, scores with ``_low`` and ``_high``.
    published : pd.DataFrame | None
        Rows like the leaderboard's, with published numbers, and ``reference``.
    per_target : pd.DataFrame | None
        Mean KS distance to the truth, one row per model: ``model`` and the targets.
    calibration, coverage : Mapping[str, pd.DataFrame]
        Tables of :class:`arielflow.evaluation.calibration.Calibration` by model.
    recalibration : Mapping[str, pd.DataFrame]
        Tables of :func:`arielflow.evaluation.calibration.gain.gain_table` by model.
    certificates : pd.DataFrame | None
        As :func:`arielflow.evaluation.trust.rows.certify_rows` makes it.
    detections : Mapping[str, DetectionTables]
        Molecules that test planets show, by the model whose draws were weighted.
    posteriors, observed_posteriors : Mapping[str, xr.Dataset]
        Posterior datasets of test and observed planets by model.
    truth : xr.Dataset | None
        Ragged true posteriors of test planets, with their true ``theta`` where known.
    literature : Mapping[str, Sequence[Mapping[str, object]]]
        Rows ``source``, ``quantity``, ``value``, ``error`` by observed planet.
    importances : pd.DataFrame | None
        Columns ``target``, ``feature``, ``wavelength`` [µm], ``importance``.
    submission : pd.DataFrame | None
        One row per file: ``track``, ``file``, ``bytes``, ``sha256``, ``validity``.
    benchmarks : pd.DataFrame | None
        One row per job: ``job``, ``seconds``, ``memory_mb``.
    manifest : Mapping[str, Any] | None
        As :func:`arielflow.runs.manifest.run_manifest` makes it.
    """

    title: str
    run: str
    edition_title: str
    facts: Sequence[tuple[str, object]] = ()
    config: Mapping[str, Any] | None = None
    chosen: str | None = None
    quality: pd.DataFrame | None = None
    train: xr.Dataset | None = None
    test: xr.Dataset | None = None
    observed: xr.Dataset | None = None
    exploration: xr.Dataset | None = None
    representation: xr.Dataset | None = None
    disentangled: xr.Dataset | None = None
    histories: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    leaderboard: pd.DataFrame | None = None
    published: pd.DataFrame | None = None
    per_target: pd.DataFrame | None = None
    calibration: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    coverage: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    recalibration: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    certificates: pd.DataFrame | None = None
    detections: Mapping[str, DetectionTables] = field(default_factory=dict)
    posteriors: Mapping[str, xr.Dataset] = field(default_factory=dict)
    observed_posteriors: Mapping[str, xr.Dataset] = field(default_factory=dict)
    truth: xr.Dataset | None = None
    literature: Mapping[str, Sequence[Mapping[str, object]]] = field(default_factory=dict)
    importances: pd.DataFrame | None = None
    submission: pd.DataFrame | None = None
    benchmarks: pd.DataFrame | None = None
    manifest: Mapping[str, Any] | None = None

    @property
    def main_score(self) -> str | None:
        """The leaderboard's column that ranks the models, or None without any score."""
        if self.leaderboard is None:
            return None
        known = [c for c in self.leaderboard if self.leaderboard[c].notna().any()]
        return next((score for score in MAIN_SCORES if score in known), None)

    @property
    def submitted(self) -> str | None:
        """The chosen model, if it was submitted."""
        made = self.submission is not None and len(self.submission) > 0
        return self.chosen if made else None

    @property
    def ranked_models(self) -> list[str]:
        """Models with posteriors: the chosen one, then by main score, then as given."""
        names = list(self.posteriors)
        if self.main_score is not None:
            score = self.leaderboard.set_index("model")[self.main_score]
            names.sort(key=lambda name: -np.nan_to_num(score.get(name, -np.inf), nan=-np.inf))
        return sorted(names, key=lambda name: name != self.chosen)

    def true_theta(self) -> np.ndarray | None:
        """True parameters (planet, target) of the test planets, or None if none is known."""
        if self.test is None:
            return None
        theta = self.test["theta"]
        if self.truth is not None and "theta" in self.truth:
            theta = self.truth["theta"].reindex(planet=self.test["planet"])
        return theta.values if np.isfinite(theta.values).any() else None


def planet_samples(posterior: xr.Dataset, planet: str) -> WeightedSamples:
    """Samples (sample, target) and weights (sample,) of one planet; reads no other planet."""
    one = posterior[["theta", "weight"]].sel(planet=planet).load()
    return one["theta"].values, one["weight"].values


def true_samples(truth: xr.Dataset | None, planet: str) -> WeightedSamples | None:
    """Samples and weights of one planet's true posterior, or None if it is not known."""
    if truth is None or "row_size" not in truth or planet not in truth["planet"].values:
        return None
    position = int(np.flatnonzero(truth["planet"].values == planet)[0])
    sizes = truth["row_size"].values
    if not sizes[position]:
        return None
    start = int(sizes[:position].sum())
    rows = truth[["trace", "weight"]].isel(obs=slice(start, start + int(sizes[position]))).load()
    return rows["trace"].values, rows["weight"].values


def _history(path: str | Path) -> pd.DataFrame:
    """Losses by epoch, as :meth:`arielflow.models.base.TrainedModel.fit` returns them."""
    table = read_csv(path, REMEDY)
    if list(table) != list(_HISTORY):
        raise ArielflowError(
            f"{path}: columns {listed(list(table))}, expected {', '.join(_HISTORY)}; {REMEDY}"
        )
    numbers = {name: numeric_column(path, table, name, "epoch", REMEDY) for name in _HISTORY}
    return pd.DataFrame(numbers)


def _lazily(path: str | Path) -> xr.Dataset:
    """Open without reading, since the posteriors of all models may not fit into memory."""
    path = regular_file(path, REMEDY)
    with guarded(path, "NetCDF file", REMEDY):
        check_plain(path, "NetCDF file", REMEDY)
        return xr.open_dataset(path, engine="h5netcdf", cache=False)


def _faults(posteriors: Mapping[str, str | Path]) -> list[tuple[str, str]]:
    """One line per posterior that holds draws from the prior, with the first such planet."""
    facts = []
    for name, path in posteriors.items():
        with _lazily(path) as posterior:
            if "fault" not in posterior:
                continue
            fault = posterior["fault"].values.astype(str)
            names = posterior["planet"].values.astype(str)
        if (bad := fault != "").any():
            text = f"{bad.sum()} planets, the first {names[bad][0]}: {fault[bad][0]}"
            facts.append((f"draws from the prior in {name}", shown(text, 300)))
    return facts


def submission_table(
    files: Mapping[str, str | Path],
    faults: Mapping[str, Sequence[str]],
    warnings: Mapping[str, Sequence[str]],
) -> pd.DataFrame:
    """Name, size, SHA-256 and validity of every submission file.

    Parameters
    ----------
    files
        Path by track.
    faults
        What the checker found, by track: an empty list means valid; tracks that are not in it were
        not checked.
    warnings
        What it found implausible, by track.
    """
    rows = []
    for track, path in files.items():
        found = faults.get(track)
        validity = "not checked" if found is None else "; ".join(found) or "valid"
        validity = "; warning: ".join([validity, *warnings.get(track, ())])
        size = Path(path).stat().st_size
        row = {"track": track, "file": Path(path).name, "bytes": size, "sha256": sha256(path)}
        rows.append(row | {"validity": validity})
    return pd.DataFrame(rows)


def benchmark_table(folder: str | Path) -> pd.DataFrame:
    """Wall time and peak memory of every job, from Snakemake's benchmark files below a folder."""
    rows = [{"job": name} | job["used"] for name, job in measured_jobs(folder).items()]
    return pd.DataFrame(rows, columns=["job", "seconds", "memory_mb"])


def load_content(
    *,
    title: str,
    run: str,
    edition_title: str,
    facts: Sequence[tuple[str, object]] = (),
    config: Mapping[str, Any] | None = None,
    chosen: str | None = None,
    train: str | Path | None = None,
    test: str | Path | None = None,
    observed: str | Path | None = None,
    quality: Sequence[str | Path] = (),
    exploration: str | Path | None = None,
    representation: str | Path | None = None,
    disentangled: str | Path | None = None,
    histories: Mapping[str, str | Path] | None = None,
    leaderboard: str | Path | None = None,
    published: pd.DataFrame | None = None,
    per_target: str | Path | None = None,
    calibration: Mapping[str, str | Path] | None = None,
    coverage: Mapping[str, str | Path] | None = None,
    recalibration: Mapping[str, str | Path] | None = None,
    certificates: str | Path | None = None,
    detections: Mapping[str, Sequence[str | Path]] | None = None,
    posteriors: Mapping[str, str | Path] | None = None,
    observed_posteriors: Mapping[str, str | Path] | None = None,
    truth: str | Path | None = None,
    literature: Mapping[str, Sequence[Mapping[str, object]]] | None = None,
    importances: str | Path | None = None,
    submissions: Mapping[str, str | Path] | None = None,
    submission_faults: Mapping[str, Sequence[str]] | None = None,
    submission_warnings: Mapping[str, Sequence[str]] | None = None,
    benchmarks: str | Path | None = None,
    manifest: str | Path | None = None,
) -> ReportContent:
    """Load a report's content from a run's files; see :class:`ReportContent` for the meanings.

    Posteriors and truth are opened without being read. ``submissions`` gives the file of each
    track, ``submission_faults`` and ``submission_warnings`` what the checker found in them,
    ``detections`` the files of molecules and of bins by model,
    ``benchmarks`` the folder of Snakemake's benchmark files.

    Raises
    ------
    ArielflowError
        A file that was named is missing or not readable.
    """

    def each(files: Mapping[str, Any] | None, load: Any) -> dict[str, Any]:
        return {name: load(path) for name, path in (files or {}).items()}

    def one(path: str | Path | None, load: Any) -> Any:
        return None if path is None else load(path)

    suspects = [table for table in map(read_results, quality) if len(table)]
    empty = pd.DataFrame() if quality else None
    return ReportContent(
        title=title,
        run=run,
        edition_title=edition_title,
        facts=[*facts, *_faults(posteriors or {})],
        config=config,
        chosen=chosen,
        quality=pd.concat(suspects, ignore_index=True) if suspects else empty,
        train=one(train, open_dataset),
        test=one(test, open_dataset),
        observed=one(observed, open_dataset),
        exploration=one(exploration, open_dataset),
        representation=one(representation, open_dataset),
        disentangled=one(disentangled, open_dataset),
        histories=each(histories, _history),
        leaderboard=one(leaderboard, read_results),
        published=published,
        per_target=one(per_target, read_results),
        calibration=each(calibration, read_results),
        coverage=each(coverage, read_results),
        recalibration=each(recalibration, read_results),
        certificates=one(certificates, read_results),
        detections=each(
            detections, lambda paths: DetectionTables(*(read_results(path) for path in paths))
        ),
        posteriors=each(posteriors, _lazily),
        observed_posteriors=each(observed_posteriors, _lazily),
        truth=one(truth, _lazily),
        literature=literature or {},
        importances=one(importances, read_importances),
        submission=one(
            submissions,
            lambda files: submission_table(
                files, submission_faults or {}, submission_warnings or {}
            ),
        ),
        benchmarks=one(benchmarks, benchmark_table),
        manifest=one(manifest, lambda path: read_json_object(path, [], REMEDY)),
    )
