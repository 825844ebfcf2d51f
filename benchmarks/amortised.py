"""Amortised flows by training time: ours, zuko's and sbi's on the same planets, features and noise.

    python benchmarks/amortised.py --run benchmark --seconds 120 360

needs ``sbi==0.27.0`` and ``zuko==1.6.0`` and a finished run with ``simulation.n_prior`` planets.
Every contender has one thread and as much processor time; all see :class:`Context`'s features
through a residual network of one size and learn :class:`TargetCoordinates`' coordinates, in which
no sample leaves the prior:

- ``arielflow``: the benchmark run's flow, noise drawn anew at every step;
- ``zuko``: zuko's neural spline flow in the same training loop in place of the coupling layers;
- ``sbi``: NPE with sbi's own training: a neural spline flow of its own, Adam, a fixed table with
  ``--copies`` draws of noise per planet, its best weights kept. ``--search`` first trains it with
  several learning rates and batches for that many seconds each; the setting of the least
  validation loss, which no test planet has a part in, is kept for all budgets.

Scores are the challenge's, of the run's test planets against their nested-sampling truth. Writes
``benchmarks/amortised.csv``; rows that it holds are not trained again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
import zuko
from retrieval_run import FinishedRun
from sbi.neural_nets import posterior_nn
from sbi_peer import TimedNPE
from torch import Tensor, nn

from arielflow.core.schema import open_dataset, posterior_dataset
from arielflow.evaluation.rows import score_posterior
from arielflow.models.families._density import DensityEstimator, NetworkShape, context_encoder
from arielflow.models.families.flow import Estimator as Flow
from arielflow.models.features import planet_tensors

FILE = Path(__file__).with_suffix(".csv")
SEED, N_SAMPLES, N_TIMED = 1, 4000, 20_000
SBI_SETTINGS = [(rate, batch) for batch in (128, 512) for rate in (5e-4, 1e-3, 2e-3)]


class ZukoFlow(Flow):
    """The flow family with zuko's coupling splines (``passes=2``) as its density."""

    # Trainings are known by the code of the family's module.
    __module__ = Flow.__module__

    def _density(self, shape: NetworkShape) -> nn.Module:
        return _Zuko(self.config, shape.n_targets)


class _Zuko(nn.Module):
    def __init__(self, config: Any, n_targets: int) -> None:
        super().__init__()
        self.flow = zuko.flows.NSF(
            n_targets,
            config.embedding,
            bins=config.bins,
            transforms=2 * config.layer_pairs,
            passes=2,
            hidden_features=[config.hidden] * (2 * config.blocks),
            activation=nn.SiLU,
        )

    def loss(self, z: Tensor, embedding: Tensor, generator: torch.Generator) -> Tensor:
        return -self.log_prob(z, embedding).mean()

    def log_prob(self, z: Tensor, embedding: Tensor) -> Tensor:
        return self.flow(embedding).log_prob(z)

    def sample_and_log_prob(self, n: int, embedding: Tensor) -> tuple[Tensor, Tensor]:
        z, log_prob = self.flow(embedding).rsample_and_log_prob((n,))
        return z.transpose(0, 1), log_prob.T


def trained(
    family: type[DensityEstimator], settings: dict[str, Any], data: list[xr.Dataset], seconds: float
) -> tuple[DensityEstimator, float, float]:
    """A density of the project's own training, its processor time and validation loss.

    The number of epochs is what a first, short training says the time is enough for.
    """
    train, valid = data
    training = settings["training"]
    # What is done once, such as the features' scaling, is told apart from what an epoch takes.
    spent = []
    for epochs in (1, 2):
        timed = family.from_settings(settings | {"training": training | {"epochs": epochs}})
        started = process_time()
        timed.fit(train.isel(planet=slice(N_TIMED)), valid, seed=SEED)
        spent.append(process_time() - started)
    each = max(spent[1] - spent[0], 1e-3)
    planets = (seconds - (spent[0] - each)) / each * min(N_TIMED, train.sizes["planet"])
    # Below one epoch, the first planets only.
    epochs = max(1, round(planets / train.sizes["planet"]))
    train = train.isel(planet=slice(int(planets / epochs)))
    estimator = family.from_settings(settings | {"training": training | {"epochs": epochs}})
    started = process_time()
    history = estimator.fit(train, valid, seed=SEED)
    return estimator, process_time() - started, float(history["valid_loss"].min())


class SbiFlow:
    """sbi's NPE on the features and coordinates of a flow that has not been trained."""

    def __init__(self, settings: dict[str, Any], data: list[xr.Dataset], copies: int) -> None:
        self.flow = Flow.from_settings(settings)
        train, _ = (self.flow._trainable(part) for part in data)
        seen = planet_tensors(train)
        self.flow._prepare(train, seen, SEED)
        self.context, self.coordinates = self.flow.network.context, self.flow.network.coordinates
        generator = torch.Generator().manual_seed(SEED)
        drawn = [seen.with_noise(generator) for _ in range(copies)]
        with torch.no_grad():
            self.x = torch.cat([self.context(part) for part in drawn])
            self.z = torch.cat([self.coordinates(part, part.theta)[0].float() for part in drawn])

    def fit(self, seconds: float, rate: float, batch: int) -> tuple[float, float]:
        """Processor time and best validation loss of a training."""
        config = self.flow.config
        shape = self.flow.network.shape
        build = posterior_nn(
            model="nsf",
            hidden_features=config.hidden,
            num_transforms=2 * config.layer_pairs,
            num_bins=config.bins,
            embedding_net=context_encoder(config, shape.n_inputs, shape.n_bins),
            z_score_x="none",
        )
        torch.manual_seed(SEED)
        trainer = TimedNPE(seconds, process_time, density_estimator=build, show_progress_bars=False)
        started = process_time()
        self.density = trainer.append_simulations(self.z, self.x).train(
            training_batch_size=batch, learning_rate=rate
        )
        return process_time() - started, float(min(trainer.summary["validation_loss"]))

    @torch.no_grad()
    def sample(self, planets: xr.Dataset, n_samples: int, *, seed: int) -> xr.Dataset:
        """As of a model of the project; all planets must be usable."""
        torch.manual_seed(seed)
        data = planet_tensors(planets)
        theta = []
        for row in torch.arange(len(data)).split(1):
            part = data.rows(row)
            z = self.density.sample((n_samples,), condition=self.context(part))
            theta.append(self.coordinates.inverse(part, z.transpose(0, 1).double())[0].numpy())
        return posterior_dataset(planets, np.concatenate(theta))


def contenders(
    settings: dict[str, Any], data: list[xr.Dataset], copies: int, search: float | None
) -> dict[str, Callable[[float], tuple[Any, float, float]]]:
    """By name, from a training time to what samples, the time taken and the validation loss."""

    @cache
    def found() -> tuple[float, int]:
        """Learning rate and batch of sbi's training."""
        if search is None:
            return SBI_SETTINGS[1]
        peer = SbiFlow(settings, data, copies)
        losses = {}
        for chosen in SBI_SETTINGS:
            taken, losses[chosen] = peer.fit(search, *chosen)
            print(f"sbi, rate and batch {chosen}: {taken:.0f} s, {losses[chosen]:.3f}", flush=True)
        return min(losses, key=lambda chosen: losses[chosen])

    def sbi(seconds: float) -> tuple[SbiFlow, float, float]:
        peer = SbiFlow(settings, data, copies)
        return peer, *peer.fit(seconds, *found())

    return {
        "arielflow": lambda seconds: trained(Flow, settings, data, seconds),
        "zuko": lambda seconds: trained(ZukoFlow, settings, data, seconds),
        "sbi": sbi,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", default="benchmark", help="name of the finished run")
    parser.add_argument("--seconds", type=float, nargs="+", default=[120, 360])
    parser.add_argument("--only", nargs="+", help="contenders; all if left out")
    parser.add_argument("--copies", type=int, default=2, help="noisy rows per planet for sbi")
    parser.add_argument("--search", type=float, help="seconds of each of sbi's trial trainings")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = FinishedRun.open(Path("results") / options.run)
    settings = run.config["model_settings"]["flow"]["settings"]
    planets = open_dataset(run.folder / "ingested/prior.nc")
    split = pd.read_csv(run.folder / "ingested/prior_split.csv", dtype={"planet_ID": str})
    chosen = [set(split.loc[split["subset"] == name, "planet_ID"]) for name in ("train", "valid")]
    names = planets["planet"].values.astype(str)
    data = [planets.isel(planet=[name in part for name in names]) for part in chosen]
    truth = open_dataset(run.folder / "truth/truth.nc")
    rows = pd.read_csv(FILE).to_dict("records") if FILE.is_file() else []
    trained_by = contenders(settings, data, options.copies, options.search)
    for seconds in options.seconds:
        for name, train in trained_by.items():
            known = any(row["flow"] == name and row["budget_s"] == seconds for row in rows)
            if known or (options.only and name not in options.only):
                continue
            model, taken, loss = train(seconds)
            posterior = model.sample(run.planets, N_SAMPLES, seed=SEED)
            scores = score_posterior(run.edition, posterior, run.planets, truth, seed=SEED)
            score = scores["posterior_score"]
            rows.append(
                {
                    "flow": name,
                    "budget_s": seconds,
                    "processor_s": round(taken),
                    "valid_loss": round(loss, 3),
                    "posterior_score": round(score.mean(), 1),
                    "standard_error": round(score.std() / len(score) ** 0.5, 1),
                    "worst_planet": round(score.min(), 1),
                }
            )
            table = pd.DataFrame(rows)
            table.to_csv(FILE, index=False)
            print(table.to_string(index=False), flush=True)


if __name__ == "__main__":
    main()
