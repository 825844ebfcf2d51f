"""Which explanations of the flow agree with physics: every method against the linear gain.

``python benchmarks/explanations.py --run results/benchmark`` explains the test planets of a
finished run, writes ``docs/explanations.csv`` and draws the figures of ``docs/explanations.md``.
Every step is kept in ``--state`` and not done again. One thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import torch
import xarray as xr

from arielflow import plotting
from arielflow.core.files import atomic_path, write_table
from arielflow.core.samples import systematic_indices
from arielflow.core.schema import open_dataset, trace_of
from arielflow.data.forward_models import edition_model
from arielflow.data.splits import read_split, subset
from arielflow.editions import get_edition
from arielflow.evaluation.explain import attributions as local
from arielflow.evaluation.explain.agreement import (
    agreement_table,
    detectable,
    random_weights,
)
from arielflow.evaluation.explain.bands import BANDS, band_groups, disjoint_groups
from arielflow.evaluation.explain.counterfactual import least_changes, without_molecules
from arielflow.evaluation.explain.differentiable import Mixed, SpectrumFunction
from arielflow.evaluation.explain.gain import Gain, linear_gain, posterior_gain
from arielflow.evaluation.explain.neighbours import nearest_planets
from arielflow.evaluation.explain.permutation import permutation_importance
from arielflow.evaluation.explain.rules import model_rules
from arielflow.evaluation.explain.semantics import probe_embedding
from arielflow.models.ensemble import Ensemble
from arielflow.models.features import noisy_copies
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.retrieval.linear import jacobian

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
SEED, RANDOM_NETWORKS = 2026, 20
# Of a gradient; paths of many points need fewer at each.
DRAWS, FEW_DRAWS = 256, 32
EXACT_DRAWS, SCORE_DRAWS, DIFFERENCE_DRAWS = 600, 256, 512
PERMUTED, RULED = 300, 1500
BASELINES = 32
EFFORT = local.Effort(steps=12, draws=12, coalitions=120)
SHAP_PLANETS = 20
FOREST_STEP = 5.0


class Study:
    """The run that is explained, opened once."""

    def __init__(self, run: Path, state: Path) -> None:
        self.run, self.state = run, state
        self.stored = open_dataset(run / "ingested/test.nc")
        self.truth = open_dataset(run / "truth/truth.nc")
        self.noisy = noisy_copies(self.stored, SEED)
        self.theta = self.truth["theta"].values
        self.low, self.high = (self.stored[f"prior_{end}"].values for end in ("low", "high"))
        self.error = self.stored["transit_depth_error"].values
        self.quantities = [str(name) for name in self.stored["target_quantity"].values]

    def kept(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """An array, from its file if it has been made before."""
        path = self.state / f"{name}.npy"
        if not path.exists():
            start = perf_counter()
            values = make()
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as part, part.open("wb") as stream:
                np.save(stream, values)
            print(f"{name}: {perf_counter() - start:.0f} s", flush=True)
        return np.load(path)

    def table(self, name: str, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """A table, from its file if it has been made before."""
        path = self.state / f"{name}.csv"
        if not path.exists():
            start = perf_counter()
            write_table(make(), path)
            print(f"{name}: {perf_counter() - start:.0f} s", flush=True)
        return pd.read_csv(path)

    @cached_property
    def forward(self) -> ForwardModel:
        """The forward model, on the opacities that the run was trained with."""
        physics = PhysicsSettings(str(self.run / "opacities"))
        return ForwardModel(edition_model(get_edition("adc2023"), physics), self.stored)

    @cached_property
    def flow(self) -> Ensemble:
        """Both members of the flow."""
        return self.ensemble("flow", 2)

    def ensemble(self, model: str, members: int = 1) -> Ensemble:
        """A model of the run, on the CPU."""
        folders = [self.run / "models" / model / str(number) for number in range(members)]
        return Ensemble(folders, device="cpu")

    def function(self, model: Mixed, quantity: str = "mean", **options: object) -> SpectrumFunction:
        """What is explained, at the noisy spectra."""
        return SpectrumFunction(model, self.noisy, quantity, **{"n_samples": DRAWS} | options)

    @cached_property
    def training(self) -> xr.Dataset:
        """Training planets, with noise."""
        return noisy_copies(self._split("train"), SEED + 1)

    @cached_property
    def held_out(self) -> xr.Dataset:
        """Validation planets, which no network was fitted to, with noise."""
        return noisy_copies(self._split("valid"), SEED + 2)

    def _split(self, name: str) -> xr.Dataset:
        folder = self.run / "ingested"
        return subset(
            open_dataset(folder / "train.nc"), read_split(folder / "train_split.csv"), name
        )

    @cached_property
    def gain(self) -> Gain:
        """The linear gain at the true theta."""
        derivative = self.kept(
            "jacobian", lambda: jacobian(self.forward, np.arange(len(self.theta)), self.theta)
        )
        return linear_gain(derivative, self.error, self.low, self.high)

    @cached_property
    def counted(self) -> np.ndarray:
        """Which targets of which planets are told by the spectrum."""
        return detectable(self.gain, self.quantities, self.theta, self.low, self.high)

    def exact_gain(self) -> np.ndarray:
        """The gain of the nested-sampling posteriors, not linearised."""
        parts = []
        for row, name in enumerate(self.stored["planet"].values):
            theta, weight = trace_of(self.truth, str(name))
            rng = np.random.default_rng(row)
            theta = theta[systematic_indices(weight, EXACT_DRAWS, rng)]
            spectra = self.forward.spectra(row, theta)
            good = np.isfinite(spectra).all(axis=1)
            equal = np.ones((1, good.sum()))
            found = posterior_gain(theta[None, good], equal, spectra[None, good], self.error[[row]])
            parts.append(found.gain[0])
        return np.stack(parts)


def attributions(study: Study) -> dict[str, np.ndarray]:
    """Attributions (planet, target, wavelength) of the targets, by method."""
    flow = Mixed.of(study.flow)
    mean = study.function(flow)
    path = study.function(flow, n_samples=FEW_DRAWS)
    shap = SpectrumFunction(
        flow, study.noisy.isel(planet=slice(0, SHAP_PLANETS)), "mean", n_samples=FEW_DRAWS
    )
    flat = local.flat_baselines(path)
    rng = np.random.default_rng(SEED)
    chosen = rng.choice(study.training.sizes["planet"], BASELINES, replace=False)
    others = study.training["transit_depth"].values[chosen]
    shaped = local.shaped_baselines(path, others)
    plain = torch.as_tensor(others).expand(len(study.theta), *others.shape)
    one = Mixed(flow.estimators[:1], np.ones(1))
    groups = disjoint_groups(study.stored["wavelength"].values)
    dropout = Mixed.of(study.ensemble("mc_dropout"))
    posterior = study.flow.sample(study.noisy, SCORE_DRAWS, seed=SEED)["theta"].values
    n_targets = len(study.quantities)
    makers: dict[str, Callable[[], np.ndarray]] = {
        "exact posterior (nested sampling)": study.exact_gain,
        "gradient": lambda: local.gradients(mean),
        "gradient, one network": lambda: local.gradients(study.function(one)),
        "smoothed gradient": lambda: local.smoothed_gradients(path, EFFORT, SEED),
        "score covariance": lambda: local.score_covariance(
            posterior, lambda points: study.function(flow, "log_prob", theta=points)
        ),
        "finite differences": lambda: local.finite_differences(
            study.flow, study.noisy, EFFORT, DIFFERENCE_DRAWS, SEED
        )["mean"],
        "gradient of the width": lambda: local.gradients(study.function(flow, "width")),
        "gradient of log p(true theta)": lambda: np.repeat(
            local.gradients(study.function(flow, "log_prob", theta=study.theta)), n_targets, axis=1
        ),
        "mc_dropout, gradient": lambda: local.gradients(study.function(dropout)),
        "random_forest, finite differences": lambda: local.finite_differences(
            study.ensemble("random_forest"),
            study.noisy,
            local.Effort(step=FOREST_STEP),
            DRAWS,
            SEED,
        )["mean"],
        "integrated gradients, slope": lambda: local.integrated_gradients(
            path, flat, EFFORT, "slope"
        ),
        "expected gradients (SHAP), slope": lambda: local.expected_gradients(
            path, shaped, EFFORT, "slope", SEED
        ),
        "expected gradients (SHAP), other sizes, slope": lambda: local.expected_gradients(
            path, plain, EFFORT, "slope", SEED
        ),
        "expected gradients (SHAP), contribution": lambda: local.expected_gradients(
            path, shaped, EFFORT, "contribution", SEED
        ),
        "KernelSHAP, contribution": lambda: few_planets(
            local.kernel_shap(shap, flat[:SHAP_PLANETS], groups, EFFORT, SEED), len(study.theta)
        ),
    }
    names = {name: "".join(c if c.isalnum() else "_" for c in name) for name in makers}
    found = {name: study.kept(names[name], make) for name, make in makers.items()}
    depth = study.noisy["transit_depth"].values[:, None, :] / study.error[:, None, :]
    derivative = study.kept(
        "jacobian", lambda: jacobian(study.forward, np.arange(len(study.theta)), study.theta)
    )
    distance = (path.depth - flat).numpy()[:, None, :] / study.error[:, None, :]
    return found | {
        "integrated gradients, contribution": found["integrated gradients, slope"] * distance,
        "absolute gradient": np.abs(found["gradient"]),
        "gradient times depth": found["gradient"] * depth,
        "forward model's derivative": derivative.swapaxes(1, 2) / study.error[:, None, :],
    }


def few_planets(values: np.ndarray, n_planets: int) -> np.ndarray:
    """The attributions of the first planets, NaN for the others."""
    missing = np.full((n_planets - len(values), *values.shape[1:]), np.nan)
    return np.concatenate([values, missing])


def sanity(study: Study) -> pd.DataFrame:
    """The gradient of networks of random weights, held against the gain."""
    flow = Mixed.of(study.flow)
    tables = []
    for number in range(RANDOM_NETWORKS):
        found = study.kept(
            f"random_{number}",
            lambda number=number: local.gradients(
                study.function(random_weights(flow, SEED + number), n_samples=FEW_DRAWS)
            ),
        )
        name = {f"gradient, random weights {number + 1}": found}
        tables.append(agreement_table(name, study.gain.gain, study.counted, study.quantities))
    return pd.concat(tables, ignore_index=True)


def illustrate(study: Study, found: dict[str, np.ndarray], table: pd.DataFrame) -> None:
    """Write the other methods' tables and the figures."""
    sane = table[table["part"] == "sanity"]
    agreement = table[table["part"] == "agreement"]
    flow = Mixed.of(study.flow)
    explored = open_dataset(study.run / "exploration.nc")
    train = explored.isel(planet=explored["split"].values == "train")
    label = pd.Series(train["cluster_label"].values, train["planet"].values.astype(str))
    clusters = label.loc[study.held_out["planet"].values.astype(str)].to_numpy()
    groups = band_groups(study.stored["wavelength"].values)
    importance = study.table(
        "permutation",
        lambda: permutation_importance(
            study.flow,
            study.held_out.isel(planet=slice(0, PERMUTED)),
            groups,
            seed=SEED,
            n_samples=2 * FEW_DRAWS,
            repeats=1,
            clusters=clusters[:PERMUTED],
        ),
    )
    posterior = study.flow.sample(study.noisy, 1000, seed=SEED)["theta"].values
    mean = study.function(flow, n_samples=2 * FEW_DRAWS)
    changes = study.kept(
        "counterfactual", lambda: least_changes(mean, posterior.std(axis=1)).change
    )
    study.table("probes", lambda: probe_embedding(flow, study.held_out, seed=SEED))
    study.table("neighbours", lambda: nearest_planets(flow, study.noisy, study.training))
    study.table(
        "without",
        lambda: without_molecules(
            study.flow, study.noisy, study.forward, n_samples=DRAWS, seed=SEED
        ),
    )
    rules = model_rules(study.flow, study.training.isel(planet=slice(0, RULED)), seed=SEED)
    write_table(rules.table, study.state / "rules.csv")
    for target, text in rules.texts.items():
        (study.state / f"rules_{target}.txt").write_text(text)
    shown = int(np.flatnonzero(study.counted.all(axis=1))[0])
    planet = study.noisy.isel(planet=shown)
    figures = {
        "explanation_band": plotting.attribution_bands(
            planet, {"flow": found["gradient"][shown], "physics": study.gain.gain[shown]}, BANDS
        ),
        "explanation_agreement": plotting.agreement_chart(agreement),
        "explanation_sanity": plotting.sanity_chart(
            agreement[agreement["method"] == "gradient"], sane
        ),
        "explanation_clusters": plotting.band_importance(importance),
        "explanation_counterfactual": plotting.counterfactual_spectra(
            planet, changes[shown], BANDS
        ),
    }
    for name, figure in figures.items():
        figure.savefig(FIGURES / f"{name}.png")


def main() -> None:
    """Explain, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT / "results/benchmark")
    parser.add_argument("--state", type=Path, default=ROOT / "results/explanations")
    parser.add_argument("--table", type=Path, default=ROOT / "docs/explanations.csv")
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(options.run, options.state)
    sane = sanity(study)
    found = attributions(study)
    agreement = agreement_table(found, study.gain.gain, study.counted, study.quantities)
    parts = {"agreement": agreement, "sanity": sane}
    table = pd.concat([part.assign(part=name) for name, part in parts.items()], ignore_index=True)
    write_table(table.round(3), options.table)
    wide = agreement.pivot(index="method", columns="target", values="median_rho")
    print(wide.loc[list(found), study.quantities].round(2).to_string())
    illustrate(study, found, table)


if __name__ == "__main__":
    main()
