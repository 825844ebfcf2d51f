"""Neural posterior estimation by the sbi toolkit with its defaults: the peer of arielflow's flow.

    python benchmarks/sbi_peer.py --train train.nc --split split.csv --test test.nc \
        --seconds 600 --output posterior.nc

needs ``pip install sbi==0.27.0`` (the project's extra ``benchmark``) and writes the same kind of
posterior file as the workflow's ``sample_posterior``, with the attributes ``training_seconds`` and
``sampling_seconds``. What a user of sbi (Boelts et al. 2025, JOSS
10, 7754) would do with a run's ingested planets:

- ``NPE`` as it comes: masked autoregressive flow, no embedding, Adam, 10 % of the rows held out,
  stopped after 20 epochs without improvement, or when the time is up (the best weights are kept);
- inputs: depths with noise, logarithms of their errors and of the system's properties, each
  standardised over the rows that are trained on;
- theta in units of each planet's prior box, whose uniform prior sbi is told.

sbi trains on a fixed table, so the noise is drawn once for every row (``--copies`` rows a
spectrum), not anew in every epoch. Its rows are both subsets of the split, since it holds out its
own; copies of one spectrum may thus fall on both sides. As many threads are used as
``OMP_NUM_THREADS`` allows.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd
import torch
import xarray as xr
from sbi.inference import NPE
from sbi.inference.posteriors.direct_posterior import DirectPosterior
from sbi.utils import BoxUniform
from sbi.utils.tracking import TensorBoardTracker
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

from arielflow.core.files import write_dataset
from arielflow.core.schema import is_usable, open_dataset, posterior_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.priors import prior_samples
from arielflow.models.features import PlanetTensors, planet_tensors

_MOST_DRAWS = 20


class TimedNPE(NPE):
    """``NPE`` that ends as if converged, with its best weights, when its time is up.

    The time counts from here; one epoch is always trained.
    """

    def __init__(
        self, seconds: float, clock: Callable[[], float] = perf_counter, **options: object
    ) -> None:
        super().__init__(**options)
        self._clock, self._deadline = clock, clock() + seconds

    def _converged(self, epoch: int, stop_after_epochs: int) -> bool:
        if super()._converged(epoch, stop_after_epochs):
            return True
        if epoch == 0 or self._clock() < self._deadline:
            return False
        self._neural_net.load_state_dict(self._best_model_state_dict)
        return True


def inputs(planets: PlanetTensors) -> Tensor:
    """Depths, log errors and log properties of the system (planet, feature), not standardised."""
    return torch.cat([planets.depth, torch.log(planets.error), planets.system], dim=1)


def training_table(train: xr.Dataset, copies: int, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs with one draw of noise per row, and theta in units of the prior box, both double."""
    planets = planet_tensors(train)
    planets = planets.rows(torch.arange(len(planets)).repeat(copies))
    noisy = planets.with_noise(torch.Generator().manual_seed(seed))
    return inputs(noisy), (noisy.theta - noisy.low) / (noisy.high - noisy.low)


@torch.no_grad()
def sample_inside(
    posterior: DirectPosterior, x: Tensor, n_samples: int
) -> tuple[np.ndarray, np.ndarray, float]:
    """Samples inside the unit box by rejection, as sbi does it, but in a bounded number of draws.

    Parameters
    ----------
    posterior
        Trained posterior in units of the prior box.
    x
        Standardised inputs of one planet, shape (1, feature).
    n_samples
        Samples wanted; what is still missing after the last draw is clipped to the box.

    Returns
    -------
    samples, log_prob : numpy.ndarray
        Shapes (sample, target) and (sample,); the density is the flow's over the accepted share.
    acceptance : float
        Share of the flow's samples inside the box.
    """
    kept, inside = [], 0
    while len(kept) < _MOST_DRAWS and inside < n_samples:
        drawn = posterior.sample(
            (n_samples,), x, show_progress_bars=False, reject_outside_prior=False
        )
        kept.append(drawn[((drawn >= 0) & (drawn <= 1)).all(dim=1)])
        inside += len(kept[-1])
    samples = torch.cat([*kept, drawn.clamp(0, 1)])[:n_samples]
    acceptance = max(inside, 1) / (len(kept) * n_samples)
    density = posterior.log_prob(samples, x, norm_posterior=False) - np.log(acceptance)
    return samples.double().numpy(), density.double().numpy(), acceptance


def sample_planets(
    posterior: DirectPosterior, x: Tensor, planets: xr.Dataset, n_samples: int, seed: int
) -> xr.Dataset:
    """Posterior dataset of all planets; prior samples where the spectrum is unusable.

    ``x`` holds the standardised inputs of the usable planets (planet, feature).
    """
    theta = prior_samples(planets, n_samples, derived_seed(seed, "prior"))
    low, width = planets["prior_low"].values, (planets["prior_high"] - planets["prior_low"]).values
    log_prob = np.repeat(-np.log(width).sum(axis=1, keepdims=True), n_samples, axis=1)
    accepted = []
    for position, row in zip(np.flatnonzero(is_usable(planets)), x.split(1), strict=True):
        unit, density, acceptance = sample_inside(posterior, row, n_samples)
        theta[position] = low[position] + width[position] * unit
        log_prob[position] += density
        accepted.append(acceptance)
    print(f"share inside the prior: median {np.median(accepted):.3f}, least {min(accepted):.4f}")
    return posterior_dataset(planets, theta, log_prob=log_prob)


def train_posterior(x: Tensor, theta: Tensor, seconds: float) -> DirectPosterior:
    """sbi's posterior of theta in the unit box, trained for at most ``seconds``."""
    prior = BoxUniform(torch.zeros(theta.shape[1]), torch.ones(theta.shape[1]))
    with TemporaryDirectory() as logs:
        tracker = TensorBoardTracker(SummaryWriter(logs))
        started = perf_counter()
        trainer = TimedNPE(seconds, prior=prior, tracker=tracker, show_progress_bars=False)
        density = trainer.append_simulations(theta.float(), x.float()).train()
        seconds = perf_counter() - started
        print(f"\n{len(x)} rows, {trainer.summary['epochs_trained'][-1]} epochs, {seconds:.0f} s")
        return trainer.build_posterior(density)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("train", "split", "test", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="wall-clock time of training")
    parser.add_argument("--copies", type=int, default=1, help="noisy rows per spectrum")
    parser.add_argument("--samples", type=int, default=4000, help="samples per planet")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*reject_outside_prior.*")
    torch.manual_seed(options.seed)
    planets, split = open_dataset(options.train), pd.read_csv(options.split, dtype=str)
    known = planets.isel(planet=np.isin(planets["planet"].values.astype(str), split["planet_ID"]))
    x, theta = training_table(known, options.copies, options.seed)
    mean, deviation = x.mean(dim=0), x.std(dim=0).clamp(min=1e-9)
    started = perf_counter()
    posterior = train_posterior((x - mean) / deviation, theta, options.seconds)
    trained = perf_counter()
    test = open_dataset(options.test)
    seen = inputs(planet_tensors(test.isel(planet=is_usable(test))))
    standard = ((seen - mean) / deviation).float()
    result = sample_planets(posterior, standard, test, options.samples, options.seed)
    result.attrs["training_seconds"] = trained - started
    result.attrs["sampling_seconds"] = perf_counter() - trained
    write_dataset(result, options.output)


if __name__ == "__main__":
    main()
