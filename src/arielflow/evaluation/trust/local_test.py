"""Is the posterior of spectra like this one calibrated? A local classifier two-sample test.

L-C2ST (Linhart, Gramfort & Rodrigues 2023, NeurIPS, arXiv:2306.03580): a classifier learns to tell
pairs of a spectrum and its true parameters from pairs of a spectrum and a sample of its posterior.
How sure it is at samples of one spectrum's posterior measures how wrong that is there; classifiers
that were taught labels at random say how sure it would be of nothing.

The classifier is a logistic regression whose log odds are a quadratic form of the parameters,
standardised by the posterior's own samples, with coefficients that are linear in the context: what
a Gaussian posterior of another mean, width or correlation needs, locally. Perceptrons, as in the
paper, found less with ten times the work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import expit
from scipy.stats import gamma
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from arielflow.core.seeds import derived_seed
from arielflow.evaluation.trust.posteriors import Density

LOCAL_TEST = "local_test"
"""Column of the test's probabilities, which need no reference."""

LEVEL = 0.001
"""Probability below which a planet's posterior is not trusted."""

# Half of the samples standardise the other half.
_N_SAMPLES = 128
# Classifiers that learn nothing; their mean and variance are wanted, no quantile.
_N_NULL = 40
_INVERSE_PENALTY, _MOST_STEPS = 0.03, 200
_SMALLEST_WIDTH = 1e-12

Context = Callable[[xr.Dataset], np.ndarray]
"""From planets with noise to a few coordinates (planet, coordinate) of their spectra."""


@dataclass(frozen=True)
class LocalTest:
    """Linear classifiers, the last of which learned the truth and the others nothing.

    Attributes
    ----------
    model : the model whose posteriors are tested
    context : coordinates of the spectra
    scaler : of the features
    coefficients, intercepts : of the classifiers, (classifier, feature) and (classifier,)
    """

    model: Density
    context: Context
    scaler: StandardScaler
    coefficients: np.ndarray
    intercepts: np.ndarray

    @classmethod
    def fitted(
        cls, model: Density, context: Context, planets: xr.Dataset, *, seed: int
    ) -> LocalTest:
        """Train the classifiers.

        Parameters
        ----------
        model
            Trained model.
        context
            Coordinates of the spectra.
        planets
            Planets with noise whose parameters ``theta`` are known, drawn from the model's prior.
        seed
            Of samples and labels.
        """
        rng = np.random.default_rng(derived_seed(seed, "local test/labels"))
        standard, samples = _standardised(model, planets, derived_seed(seed, "local test/sample"))
        seen, count = context(planets), planets.sizes["planet"]
        pairs = np.stack([samples[:, 0], standard(planets["theta"].values[:, None])[:, 0]])
        features = np.concatenate([_features(side, seen) for side in pairs])
        scaler = StandardScaler().fit(features)
        features, found = scaler.transform(features), []
        for number in range(_N_NULL + 1):
            # Exchanged within a pair: exact where the sample is as good as the truth.
            swapped = rng.random(count) < 0.5 if number < _N_NULL else np.zeros(count, dtype=bool)
            label = np.concatenate([swapped, ~swapped])
            classifier = LogisticRegression(C=_INVERSE_PENALTY, max_iter=_MOST_STEPS)
            found.append(classifier.fit(features, label))
        coefficients, intercepts = (
            np.concatenate([np.atleast_1d(getattr(one, name)) for one in found])
            for name in ("coef_", "intercept_")
        )
        return cls(model, context, scaler, coefficients, intercepts)

    def probabilities(self, planets: xr.Dataset, seed: int) -> np.ndarray:
        """Of a calibrated posterior to look as wrong (planet,), from a gamma fit to the others."""
        own = derived_seed(seed, "local test/asked")
        _, samples = _standardised(self.model, planets, own)
        pairs = zip(samples, self.context(planets), strict=True)
        sure = np.array([self._sureness(*pair) for pair in pairs])
        null, found = sure[:, :-1], sure[:, -1]
        mean, variance = null.mean(axis=1), null.var(axis=1, ddof=1)
        probability: np.ndarray = gamma.sf(found, mean**2 / variance, scale=variance / mean)
        return probability

    def _sureness(self, samples: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Mean square of every classifier's probability less a half, over one planet's samples."""
        features = self.scaler.transform(_features(samples, np.tile(seen, (len(samples), 1))))
        probability = expit(features @ self.coefficients.T + self.intercepts)
        found: np.ndarray = np.mean((probability - 0.5) ** 2, axis=0)
        return found


def _features(standard: np.ndarray, context: np.ndarray) -> np.ndarray:
    """Products of a quadratic form's terms and of one and the context, shape (row, feature)."""
    first, second = np.triu_indices(standard.shape[1])
    ones = np.ones((len(standard), 1))
    form = np.hstack([ones, standard, standard[:, first] * standard[:, second]])
    found: np.ndarray = form[:, :, None] * np.hstack([ones, context])[:, None]
    return found.reshape(len(standard), -1)


def _standardised(
    model: Density, planets: xr.Dataset, seed: int
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """What standardises parameters (planet, any, target) by their planet's samples, and samples."""
    theta = model.sample(planets, _N_SAMPLES, seed=seed)["theta"].values
    first, second = np.split(theta, 2, axis=1)
    mean = first.mean(axis=1, keepdims=True)
    width = np.maximum(first.std(axis=1, keepdims=True), _SMALLEST_WIDTH)

    def standard(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = (values - mean) / width
        return found

    return standard, standard(second)
