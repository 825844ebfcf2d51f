"""Hyper-parameter search of a density model: Optuna trials in, a ready configuration out."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import xarray as xr
import yaml
from optuna.trial import FrozenTrial, TrialState

from arielflow.core.code import code_digest
from arielflow.core.config import merged
from arielflow.core.errors import ArielflowError
from arielflow.core.files import atomic_path, no_space
from arielflow.core.readers import shown
from arielflow.core.seeds import derived_seed, fingerprint
from arielflow.models import make_estimator

log = logging.getLogger(__name__)

# What a diverging training ends with: its own error, a spline's assertion, or PyTorch's.
_FAILURES = (ArielflowError, AssertionError, RuntimeError)


def tune(
    model: str,
    spec: Mapping[str, Any],
    tuning: Mapping[str, int],
    parts: tuple[xr.Dataset, xr.Dataset, xr.Dataset | None],
    *,
    seed: int,
    device: str = "auto",
    database: str | Path,
) -> tuple[str, pd.DataFrame]:
    """Search the settings of a model for the best validation loss.

    The first trial has the model's settings as they are; those after it what a tree-structured
    Parzen estimator (Bergstra et al. 2011, NeurIPS) proposes. All train from the same seed. Trials
    are not cut short: under a one-cycle learning rate a loss half-way says little about the last.

    Parameters
    ----------
    model
        Name of the model in the configuration.
    spec
        Its entry there, complete: ``family`` and ``settings``.
    tuning
        ``trials`` in all, ``epochs`` and training planets (``n_rows``) of each.
    parts
        Planets for training and for validation, and the annotated ones or None; see
        :func:`arielflow.models.member.training_parts`. There is no cut on annotated planets.
    seed
        From which the trials' proposals and trainings follow, however often the search is resumed.
    device
        ``auto``, ``cpu`` or ``cuda``.
    database
        SQLite file that a search is resumed from, if settings, data and code are the same.

    Returns
    -------
    overlay : str
        Configuration file (YAML) with the best trial's settings.
    trials : pandas.DataFrame
        One row per trial: ``trial``, ``state``, ``valid_loss``, ``seconds``, ``error`` and one
        column per parameter.

    Raises
    ------
    ArielflowError
        The family has no search space, or every trial failed.
    """
    family = import_module(make_estimator(spec["family"], spec["settings"]).__module__)
    if not hasattr(family, "search_space"):
        raise ArielflowError(
            f"tuning of {model}: family {spec['family']} has no search_space, expected a family "
            "with a density: bnn, cvae, flow or flow_matching"
        )
    objective = _Objective(family, spec["settings"], tuning, parts, seed, device)
    study = _open_study(model, Path(database), objective.identity)
    _drop_interrupted(study)
    while (number := len(_finished(study))) < tuning["trials"]:
        # A seed a trial, so that a resumed search proposes what an uninterrupted one would.
        study.sampler = optuna.samplers.TPESampler(seed=derived_seed(seed, "proposal", number))
        study.optimize(objective, n_trials=1, catch=_FAILURES)
        outcome = study.trials[-1]
        log.info("trial %d: %s, valid loss %s", number, outcome.state.name, outcome.value)
    finished = _finished(study)
    return _overlay(model, finished, tuning, seed), _table(finished)


class _Objective:
    """Best validation loss of a model with a trial's settings."""

    def __init__(
        self,
        family: Any,
        settings: Mapping[str, Any],
        tuning: Mapping[str, int],
        parts: tuple[xr.Dataset, xr.Dataset, xr.Dataset | None],
        seed: int,
        device: str,
    ) -> None:
        self.family, self.epochs = family, tuning["epochs"]
        self.seed, self.device = derived_seed(seed, "training"), device
        train, self.valid, self.annotated = parts
        order = np.random.default_rng(seed).permutation(train.sizes["planet"])
        self.train = train.isel(planet=np.sort(order[: tuning["n_rows"]]))
        self.settings = dict(settings)
        if settings.get("targets") == "mixed":
            # Its two trainings have two losses; what suits the first shapes the network.
            self.settings["targets"] = "fm"
            for name in ("draws", "fine_tuning"):
                self.settings.pop(name, None)

    @property
    def identity(self) -> str:
        """Fingerprint of what makes losses comparable and proposals the same."""
        code = code_digest(self.family.__name__, __name__)
        data = [part for part in (self.train, self.valid, self.annotated) if part is not None]
        return fingerprint(self.settings, self.epochs, self.seed, code, *data)

    def __call__(self, trial: optuna.Trial) -> float:
        proposed = {}
        if _finished(trial.study):
            configured = self.family.Config(**self.settings)
            proposed = self.family.search_space(trial, configured)
        trial.set_user_attr("settings", json.dumps(proposed))
        length = {"training": {"epochs": self.epochs}}
        settings = merged(merged(self.settings, proposed), length)
        try:
            history = self.family.Estimator.from_settings(settings).fit(
                self.train,
                self.valid,
                seed=self.seed,
                device=self.device,
                annotated=self.annotated,
            )
        except _FAILURES as error:
            if full := no_space(error):
                raise OSError(full) from None  # no trial's own fault: the search ends here
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            raise
        return float(history["valid_loss"].min())


def _open_study(model: str, database: Path, identity: str) -> optuna.Study:
    """The study in the database, or a new one where it belongs to another search."""
    optuna.logging.disable_default_handler()
    optuna.logging.enable_propagation()
    database.parent.mkdir(parents=True, exist_ok=True)
    where = {"study_name": model, "storage": f"sqlite:///{database}"}
    try:
        study = optuna.create_study(**where, load_if_exists=True)
    except Exception as error:  # whatever a damaged or foreign file makes of SQLite's reader
        if no_space(error) or not database.is_file():
            raise
        aside = database.with_name(f"{database.name}.unreadable")
        log.warning("%s: no readable study, moved to %s: %s", database, aside, shown(error, 200))
        database.replace(aside)
        study = optuna.create_study(**where)
    if study.user_attrs.get("identity", identity) != identity:
        log.warning("%s belongs to another configuration, data or code; afresh", database)
        optuna.delete_study(**where)
        study = optuna.create_study(**where)
    study.set_user_attr("identity", identity)
    return study


def _drop_interrupted(study: optuna.Study) -> None:
    """Close the trial that an interruption left open; the next one takes its place."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that ended by themselves, with a loss or with an error."""
    return [t for t in study.trials if t.state == TrialState.COMPLETE or "error" in t.user_attrs]


def _overlay(model: str, finished: list[FrozenTrial], tuning: Mapping[str, int], seed: int) -> str:
    """Configuration with the best trial's settings, headed by where they come from."""
    complete = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    if not complete:
        raise ArielflowError(
            f"tuning of {model}: none of {len(finished)} trials ended with a loss; the last one "
            f"failed with {finished[-1].user_attrs['error']}; check the model's settings"
        )
    best = min(complete, key=lambda trial: trial.value)
    first = finished[0]
    own = f"{first.value:.4f}" if first in complete else "none, as training failed"
    header = (
        f"# Search of {model}'s settings: {len(finished)} trials, {len(finished) - len(complete)} "
        f"failed, each of {tuning['epochs']} epochs\n"
        f"# on {tuning['n_rows']} training planets at most; seed {seed}.\n"
        f"# Best validation loss {best.value:.4f} (trial {best.number}); "
        f"with the settings as they were {own}.\n"
        "# Lay it over the run's own configuration.\n"
    )
    settings = json.loads(best.user_attrs["settings"])
    content = {"model_settings": {model: {"settings": settings}}}
    return header + yaml.safe_dump(content, sort_keys=False)


def _table(finished: list[FrozenTrial]) -> pd.DataFrame:
    rows = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "valid_loss": trial.value,
            "seconds": trial.duration.total_seconds(),
            "error": trial.user_attrs.get("error"),
            **trial.params,
        }
        for trial in finished
    ]
    return pd.DataFrame(rows)


def write_overlay(overlay: str, path: str | Path) -> None:
    """Write a configuration, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(overlay)
