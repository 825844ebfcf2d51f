"""Which rules an edit of the code runs again: those whose results it can change, and no others."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from arielflow.core import code
from arielflow.models import FAMILIES

ROOT = Path(__file__).parents[1]
RULES = ROOT / "workflow/rules"
SCRIPTS = ROOT / "workflow/scripts"
# They record, pack or fetch what is there, whatever the code.
# Names of the rules that stand for modules of a run's edition or of a row.
NAMED = {"EDITION_CODE": "arielflow.editions.adc2023"}
NAMED_WITH_FRAMES = {
    "EDITION_CODE": "arielflow.editions.adc2025",
    "extractor_code": "arielflow.models.extractors.box_baseline",
}
WITHOUT_TRIGGER = {"manifest", "crate", "publish", "download", "fetch", "chemistry"}


def _rules() -> dict[str, tuple[str, list[str]]]:
    """Script of every rule that has a trigger, and what is named beside it."""
    found = {}
    for file in sorted(RULES.glob("*.smk")):
        for name, body in re.findall(
            r"^ *rule (\w+):\n(.*?)(?=^ *rule |\Z)", file.read_text(), re.MULTILINE | re.DOTALL
        ):
            script = re.search(r'"\.\./scripts/(\w+)\.py"', body)
            trigger = re.search(r"sources=code\(([^)]*)\)", body)
            if trigger is None:
                assert name in WITHOUT_TRIGGER, f"{file.name}: rule {name} has no code(…)"
                continue
            first, *named = (word.strip().strip('"') for word in trigger[1].split(","))
            stands = NAMED_WITH_FRAMES if file.stem == "frames" else NAMED
            named = [stands.get(word, word) for word in named]
            assert script is not None and first == script[1], f"{file.name}: rule {name}"
            found[name] = (first, named)
    return found


def _digests() -> dict[str, str]:
    """Digest of every rule; of a rule that follows a family one per family, as ``rule:family``."""
    digests = {}
    code.imported.cache_clear()
    for name, (script, named) in _rules().items():
        modules = [name for name in named if "." in name]
        modules += code.imported(SCRIPTS / f"{script}.py")
        families = FAMILIES if "family_code" in named else [""]
        for family in families:
            own = [f"arielflow.models.families.{family}"] if family else []
            label = f"{name}:{family}" if family else name
            digests[label] = code.code_digest.__wrapped__(*modules, *own)
    return digests


@pytest.fixture(scope="module")
def unedited() -> dict[str, str]:
    """The digests before any edit."""
    return _digests()


@pytest.fixture
def sources(unedited: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package that digests are made of."""
    ignore = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(code._ROOT, tmp_path / "arielflow", ignore=ignore)
    monkeypatch.setattr(code, "_ROOT", copy)
    return copy


@pytest.fixture
def rerun_by(sources: Path, unedited: dict[str, str]) -> Callable[[str], set[str]]:
    """Which rules' digests an edit of one file changes."""

    def edit(module: str) -> set[str]:
        with (sources / module).open("a") as file:
            file.write("# edited\n")
        return {name for name, digest in _digests().items() if digest != unedited[name]}

    return edit


REPORTS = {"report", "report_chemistry", "report_frames"}
SIMULATION = {
    "prepare_opacities",
    "simulate_dataset",
    "simulate_prior_planets",
    "simulate_calibration_planets",
}
RETRIEVAL = {"sample_importance", "sample_variational", "retrieve_nested"}
OF_FAMILIES = {
    "train_model",
    "tune_model",
    "sample_posterior",
    "calibrate_model",
    "score_model",
    "sample_importance",
    "test_posteriors",
    "explain_model",
    "calibrate_groups",
    "fit_recalibration",
}
DRAWN = {
    "drift",
    *(f"{rule}:{family}" for rule in ("explain_model", "calibrate_groups") for family in FAMILIES),
}
TRAINING = {"train_model", "tune_model", "train_representation", "compress_network"}
DATA = {"ingest", "ingest_truth", "split_planets"}
SCORES = {"score_model", "leaderboard"}
FRAMES = {"calibrate_frames", "fit_extractor", "extract_spectra"}


# One module of every package, floor by floor: rules that an edit of it runs again, and rules that
# it leaves alone. What follows these by the age of its inputs is Snakemake's own business.
@pytest.mark.parametrize(
    ("module", "rerun", "kept"),
    [
        ("core/samples.py", SCORES | {"submit"}, TRAINING | DATA | {"explore"}),
        (
            "settings/training.py",
            {"train_model", "train_representation", "compress_network"},
            DATA | SIMULATION | {"explore", "submit", "leaderboard"},
        ),
        (
            "physics/rayleigh.py",
            SIMULATION | RETRIEVAL | {"score_model", "build_nodes"},
            TRAINING | DATA | {"explore", "sample_posterior", "calibrate_model", "submit"},
        ),
        ("editions/adc2023.py", DATA - {"split_planets"} | SIMULATION, TRAINING | {"explore"}),
        ("data/ingest.py", {"ingest", "ingest_truth"}, TRAINING | SIMULATION | SCORES | REPORTS),
        ("models/ensemble.py", {"sample_posterior", "score_model"}, TRAINING | DATA | SIMULATION),
        ("models/member.py", {"train_model"}, DATA | SIMULATION | SCORES | {"sample_posterior"}),
        ("retrieval/nested.py", {"simulate_dataset", "retrieve_nested"}, TRAINING | DATA | SCORES),
        ("simulation/truth.py", {"simulate_dataset"}, TRAINING | DATA | RETRIEVAL | SCORES),
        ("evaluation/official.py", SCORES, TRAINING | DATA | SIMULATION | RETRIEVAL),
        ("exploration/components.py", {"explore"}, TRAINING | DATA | SCORES | REPORTS),
        ("frames/response.py", FRAMES, TRAINING | DATA | SCORES | {"score_spectra", "report"}),
        ("models/extractors/box_baseline.py", {"fit_extractor"}, {"calibrate_frames", "report"}),
        ("chemistry/solver.py", {"solve_clouds"}, OF_FAMILIES | DATA | {"report", "explore"}),
    ],
)
def test_an_edit_reruns_what_it_can_change(
    rerun_by: Callable[[str], set[str]], module: str, rerun: set[str], kept: set[str]
) -> None:
    changed = {name.partition(":")[0] for name in rerun_by(module)}
    assert changed >= rerun and not changed & kept


@pytest.mark.parametrize(
    ("module", "rerun"),
    [
        ("plotting/style.py", REPORTS | DRAWN),
        ("report/sections.py", REPORTS),
        ("cli/forward.py", set()),
        ("runs/manifest.py", set()),
        ("runs/job.py", set()),
        ("models/families/flow.py", {f"{rule}:flow" for rule in OF_FAMILIES}),
        ("settings/families/flow.py", {f"{rule}:flow" for rule in OF_FAMILIES}),
        ("models/families/_forest_file.py", {f"{rule}:random_forest" for rule in OF_FAMILIES}),
    ],
)
def test_an_edit_reruns_these_rules_and_no_other(
    rerun_by: Callable[[str], set[str]], module: str, rerun: set[str]
) -> None:
    assert rerun_by(module) == rerun


def test_forests_know_nothing_of_the_density_families(rerun_by: Callable[[str], set[str]]) -> None:
    changed = rerun_by("models/families/_density.py")
    assert "train_model:flow" in changed
    assert not {"train_model:random_forest", "train_model:mc_dropout"} & changed


def test_imports_for_type_checkers_alone_do_not_count(sources: Path) -> None:
    file = sources / "data" / "typed.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n\nfrom arielflow.core.errors import ArielflowError\n\n"
        "if TYPE_CHECKING:\n    from arielflow.physics.forward import (\n        ForwardModel,\n"
        "    )\n\n\ndef late():\n    from arielflow.data.priors import prior_samples\n"
    )
    assert code.imported(file) == ["arielflow.core.errors", "arielflow.data.priors"]
