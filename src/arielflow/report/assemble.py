"""A run's report, made from the workflow's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arielflow.core.files import as_list
from arielflow.core.schema import REFERENCE_ROWS, open_dataset
from arielflow.core.tables import read_csv
from arielflow.editions import get_edition
from arielflow.evaluation.submission.write import check_findings
from arielflow.models import failures
from arielflow.models.importances import IMPORTANCES
from arielflow.report.build import build_report
from arielflow.report.content import load_content
from arielflow.report.published import LITERATURE, published_r2
from arielflow.settings.run import model_spec


def assemble_report(
    inputs: Mapping[str, Any], config: Mapping[str, Any], benchmarks: str, page: str, figures: str
) -> None:
    """Write the page and its figures.

    Parameters
    ----------
    inputs
        The workflow's files by name, one path or a list; empty where the run has none.
    config
        The run's configuration.
    benchmarks
        Folder of the jobs' benchmark files.
    page, figures
        HTML file and folder to write.
    """
    edition = get_edition(config["edition"])
    Path(page).parent.mkdir(parents=True, exist_ok=True)
    submissions = dict(zip(edition.tracks, as_list(inputs["submission"]), strict=False))
    check = _one(inputs["submission_check"])
    content = load_content(
        title=f"{edition.title}: {config['run']}",
        run=config["run"],
        edition_title=edition.title,
        facts=_facts(inputs, config),
        config=config,
        chosen=config["submission"]["model"],
        train=_one(inputs["train"]),
        test=_one(inputs["test"]),
        observed=_one(inputs["observed"]),
        quality=as_list(inputs["quality"]),
        exploration=_one(inputs["exploration"]),
        representation=_one(inputs["representation"]),
        disentangled=_one(inputs["disentangled"]),
        histories=_with_rows(inputs["histories"]),
        leaderboard=_one(inputs["leaderboard"]),
        published=published_r2(edition),
        per_target=_one(inputs["ks_by_target"]),
        calibration=_by_stem(inputs["calibration"]),
        coverage=_by_stem(inputs["coverage"]),
        recalibration={Path(path).parent.name: path for path in as_list(inputs["recalibration"])},
        certificates=_one(inputs["certificates"]),
        detections=_detections(inputs),
        posteriors=_by_stem(inputs["posteriors"]),
        observed_posteriors=_by_stem(inputs["observed_posteriors"]),
        truth=_one(inputs["truth"]),
        literature=LITERATURE if _one(inputs["observed"]) else None,
        importances=_importances(as_list(inputs["models"])),
        submissions=submissions or None,
        submission_faults=check_findings(check, submissions, "faults") if check else None,
        submission_warnings=check_findings(check, submissions, "warnings") if check else None,
        benchmarks=benchmarks,
        manifest=_one(inputs["manifest"]),
    )
    build_report(content, Path(page), Path(figures))


def _one(paths: str | Sequence[str]) -> str | None:
    return next(iter(as_list(paths)), None)


def _by_stem(paths: str | Sequence[str]) -> dict[str, str]:
    return {Path(path).stem: path for path in as_list(paths)}


def _detections(inputs: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Tables of molecules and of bins by the model, whose folder they share."""
    molecules, bins = (
        {Path(path).parent.name: path for path in as_list(inputs[name])}
        for name in ("detections", "detection_bins")
    )
    return {name: (path, bins[name]) for name, path in molecules.items() if name in bins}


def _with_rows(paths: str | Sequence[str]) -> dict[str, str]:
    """Histories by ``model/member``, without those of models that are not trained in epochs."""
    return {
        f"{Path(path).parent.name}/{Path(path).stem}": path
        for path in as_list(paths)
        if len(read_csv(path))
    }


def _importances(models: list[str]) -> str | None:
    found = (Path(folder) / IMPORTANCES for folder in models)
    return next((str(path) for path in found if path.is_file()), None)


def _facts(inputs: Mapping[str, Any], config: Mapping[str, Any]) -> list[tuple[str, object]]:
    train, test = (open_dataset(_one(inputs[name])) for name in ("train", "test"))
    own = [name for name in config["models"] if name not in REFERENCE_ROWS]
    members = {name: model_spec(config, name)["members"] for name in own}
    source = config["dataset"]["path"] or "simulated by this run"
    failed = failures(as_list(inputs["models"]))
    return [
        *((f"failed member {name}", f"{error}; left out") for name, error in failed.items()),
        ("training planets", train.sizes["planet"]),
        ("test planets", test.sizes["planet"]),
        ("training data", source),
        ("test data", config["dataset"]["test_path"] or source),
        ("retrieval prior", test.attrs["prior"]),
        ("models", ", ".join(f"{name} ({n})" if n > 1 else name for name, n in members.items())),
        ("samples per planet", config["posterior"]["n_samples"]),
        ("seed", config["seed"]),
    ]
