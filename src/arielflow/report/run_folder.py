"""The report of a run by hand: the files that its results folder holds, as the workflow's rule."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from arielflow.core.errors import ArielflowError
from arielflow.core.readers import read_json_object
from arielflow.report.assemble import assemble_report
from arielflow.report.frames_assemble import report_frame_run
from arielflow.runs.frame_runs import has_frames
from arielflow.settings.run import RECALIBRATED

_REMEDY = "give the results folder of a finished run, results/<run>"
_SINGLE = {
    "train": "ingested/train.nc",
    "test": "ingested/test.nc",
    "exploration": "exploration.nc",
    "representation": "representation/comparison.nc",
    "disentangled": "representation/disentangled.nc",
    "certificates": "scores/certificates.csv",
    "leaderboard": "scores/leaderboard.csv",
    "ks_by_target": "scores/ks_by_target.csv",
    "truth": "truth/truth.nc",
    "observed": "ingested/observed.nc",
    "submission_check": "submission_check.json",
    "manifest": "manifest.json",
}


def report_run(run: str | Path, directory: str | Path) -> Path:
    """Write the report of a run from its results folder, which stays as it is.

    What the folder does not hold is left out with a remark.

    Parameters
    ----------
    run
        Results folder of a run, ``results/<run>``, with its manifest.
    directory
        Receives the page, ``index.html``, and its figures, ``figures/``.

    Returns
    -------
    pathlib.Path
        The page.

    Raises
    ------
    ArielflowError
        The folder is not that of a finished run, or a file is damaged.
    """
    run, page = Path(run), Path(directory) / "index.html"
    manifest = run / _SINGLE["manifest"]
    if not manifest.is_file():
        raise ArielflowError(f"{manifest}: no such file; {_REMEDY}")
    config = read_json_object(manifest, ["config"], _REMEDY)["config"]
    if has_frames(config):
        return report_frame_run(run, config, page)
    files = _files(run, config)
    missing = [run / _SINGLE[name] for name in ("train", "test") if not files[name]]
    if missing:
        raise ArielflowError(f"{missing[0]}: no such file; {_REMEDY}")
    assemble_report(files, config, f"{run}/benchmarks", str(page), str(page.parent / "figures"))
    return page


def _files(run: Path, config: Mapping[str, Any]) -> dict[str, list[str]]:
    """The run's files by the names that the report has for them, those that are there."""
    models, settings = config["models"], config["model_settings"]
    trained = {
        name: settings.get(name, {}).get("members", 1)
        for name in models
        if not settings.get(name, {}).get("members_of")
    }
    members = [f"{name}/{number}" for name, count in trained.items() for number in range(count)]
    weighted = config["importance"]["models"]
    chosen_maps = config.get("calibration", {}).get("recalibrated", [])
    mended = [f"{name}{RECALIBRATED}" for name in chosen_maps]
    rows = [
        *models,
        *(f"{name}_importance{suffix}" for name in weighted for suffix in ("", "_fallback")),
        "flow_variational",
        *mended,
    ]
    chosen = config["submission"]["model"]
    several = {
        "quality": [f"ingested/{name}_quality.csv" for name in ("observed", "test", "train")],
        "histories": [f"histories/{name}.csv" for name in members],
        "models": [f"models/{name}" for name in members],
        "posteriors": [f"posteriors/test/{name}.nc" for name in rows],
        "calibration": [f"scores/calibration/{name}.csv" for name in [*models, *mended]],
        "coverage": [f"scores/coverage/{name}.csv" for name in [*models, *mended]],
        "recalibration": [f"calibration/{name}/gain.csv" for name in chosen_maps],
        "detections": [f"detections/{name}/molecules.csv" for name in weighted],
        "detection_bins": [f"detections/{name}/bins.csv" for name in weighted],
        "observed_posteriors": [f"posteriors/observed/{name}.nc" for name in models],
        "submission": [f"submission/{chosen}{suffix}" for suffix in (".hdf5", ".csv")],
    }
    wanted = {name: [path] for name, path in _SINGLE.items()} | several
    return {
        name: [f"{run}/{path}" for path in paths if (run / path).exists()]
        for name, paths in wanted.items()
    }
