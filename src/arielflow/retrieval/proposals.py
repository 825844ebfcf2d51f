"""Proposals of importance sampling: the prior on a box, and mixtures fitted to weighted draws."""

from __future__ import annotations

import warnings

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import gammaln, logsumexp, ndtr, ndtri
from sklearn.mixture import GaussianMixture

from arielflow.core.samples import effective_sample_size, systematic_indices

_EDGE = 1e-9
# Fewer effective draws than this a mixture component cannot be fitted to.
_LEAST_EFFECTIVE = 40.0
_TEMPERING_STEPS = 40
# Factor on the variances of a refined proposal that is fitted to tempered weights.
_WIDEN_HOT = 1.4
# Degrees of freedom of the refined proposals.
_FREEDOM = 8.0


class Box:
    """A uniform prior, and coordinates in which it is a standard normal."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        self.low, self.width = low, high - low
        self.log_volume = float(np.sum(np.log(self.width)))

    def log_prior(self, theta: np.ndarray) -> np.ndarray:
        inside = ((theta >= self.low) & (theta <= self.low + self.width)).all(axis=1)
        return np.where(inside, -self.log_volume, -np.inf)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.low + self.width * rng.random((n, len(self.low)))

    def coordinates(self, theta: np.ndarray) -> np.ndarray:
        return ndtri(np.clip((theta - self.low) / self.width, _EDGE, 1 - _EDGE))

    def theta(self, coordinates: np.ndarray) -> np.ndarray:
        return self.low + self.width * ndtr(coordinates)

    def log_slope(self, coordinates: np.ndarray) -> np.ndarray:
        """log |d coordinates / d theta| (n,)."""
        size = coordinates.shape[1]
        return (
            0.5 * np.sum(coordinates**2, axis=1)
            + 0.5 * size * np.log(2 * np.pi)
            - (self.log_volume)
        )


class StudentMixture:
    """A mixture of Student densities in the box's coordinates, a proposal with heavy tails.

    Where the posterior runs into the prior's edge its tail in these coordinates is the prior's own,
    which a Gaussian narrower than the prior would not cover.
    """

    def __init__(
        self, box: Box, gaussians: GaussianMixture, *, hot: bool, widening: float = 1.0
    ) -> None:
        self.hot, self.box = hot, box
        self._shares, self._means = gaussians.weights_, gaussians.means_
        # A proposal should look further where it has yet to find its target.
        widening *= _WIDEN_HOT if hot else 1.0
        self._covariances = widening * gaussians.covariances_

    @property
    def n_components(self) -> int:
        """Number of components."""
        return len(self._shares)

    def as_start(self) -> dict[str, np.ndarray]:
        """Where scikit-learn's fit of a mixture may start from."""
        return {
            "weights_init": self._shares,
            "means_init": self._means,
            "precisions_init": np.linalg.inv(self._covariances),
        }

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Theta (n, target)."""
        return self.box.theta(self.draw_coordinates(n, rng))

    def draw_coordinates(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """The box's coordinates (n, target) of draws."""
        component = rng.choice(len(self._shares), n, p=self._shares)
        normal = rng.standard_normal((n, self._means.shape[1], 1))
        stretch = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, (n, 1)))
        half = np.linalg.cholesky(self._covariances)
        return self._means[component] + (half[component] @ normal)[:, :, 0] * stretch

    def spread(self) -> np.ndarray:
        """Standard deviations (target,) of the coordinates, the Student tails left out."""
        mean = self._shares @ self._means
        variances = np.diagonal(self._covariances, axis1=1, axis2=2)
        return np.sqrt(self._shares @ (variances + (self._means - mean) ** 2))

    def log_prob(self, theta: np.ndarray) -> np.ndarray:
        """Natural log-density (n,) at theta (n, target)."""
        coordinates = self.box.coordinates(theta)
        everything = np.arange(coordinates.shape[1])
        return self.log_marginal(coordinates, everything) + self.box.log_slope(coordinates)

    def log_marginal(self, coordinates: np.ndarray, kept: np.ndarray) -> np.ndarray:
        """Natural log-density (n,) of some targets' coordinates, ``kept`` their numbers."""
        size, kept_only = len(kept), coordinates[:, kept]
        constant = gammaln((_FREEDOM + size) / 2) - gammaln(_FREEDOM / 2)
        constant -= size / 2 * np.log(_FREEDOM * np.pi)
        parts = []
        for share, mean, covariance in zip(
            self._shares, self._means, self._covariances, strict=True
        ):
            half = np.linalg.cholesky(covariance[np.ix_(kept, kept)])
            scaled = solve_triangular(half, (kept_only - mean[kept]).T, lower=True)
            tail = np.log1p(np.sum(scaled**2, axis=0) / _FREEDOM)
            volume = np.sum(np.log(np.diag(half)))
            parts.append(np.log(share) + constant - volume - (_FREEDOM + size) / 2 * tail)
        return logsumexp(parts, axis=0)


class RedrawnMixture:
    """A mixture's draws, of which one target each has been drawn anew from the prior.

    The posterior of what a spectrum does not show is the prior's own over most of its range, at
    values of all other targets that a proposal has already found; a proposal that stops short of
    that range does not come upon it otherwise.
    """

    def __init__(self, mixture: StudentMixture) -> None:
        self._mixture = mixture
        # What is known least is where a posterior most likely goes on.
        spread = mixture.spread()
        self._shares = spread / spread.sum()

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Theta (n, target)."""
        coordinates = self._mixture.draw_coordinates(n, rng)
        target = rng.choice(len(self._shares), n, p=self._shares)
        coordinates[np.arange(n), target] = rng.standard_normal(n)
        return self._mixture.box.theta(coordinates)

    def log_prob(self, theta: np.ndarray) -> np.ndarray:
        """Natural log-density (n,) at theta (n, target)."""
        box = self._mixture.box
        coordinates = box.coordinates(theta)
        everything = np.arange(coordinates.shape[1])
        log_normal = -0.5 * (coordinates**2 + np.log(2 * np.pi))
        parts = [
            self._mixture.log_marginal(coordinates, np.delete(everything, target))
            + log_normal[:, target]
            for target in everything
        ]
        return logsumexp(parts, axis=0, b=self._shares[:, None]) + box.log_slope(coordinates)


def fit_mixture(
    box: Box,
    theta: np.ndarray,
    log_weight: np.ndarray,
    components: int,
    rng: np.random.Generator,
    start: StudentMixture | None = None,
    *,
    widening: float = 1.0,
) -> StudentMixture:
    """A mixture of at most ``components`` like draws ``theta`` (n, target) with weights (n,).

    Its variances are ``widening`` times theirs.

    Where few draws carry the weight, it is fitted to the weights at a higher temperature. The fit
    starts from another mixture if that has as many components, otherwise from clusters.
    """
    size = len(box.low)
    wanted = max(_LEAST_EFFECTIVE, 4.0 * size)
    weight, hot = _tempered(log_weight - log_weight.max(), wanted)
    effective = effective_sample_size(weight)
    index = systematic_indices(weight, 2000, rng)
    seed = int(rng.integers(2**31))
    # Every component has a covariance of its own to find.
    count = int(np.clip(effective / (3 * size), 1, components))
    begun = {} if start is None or start.n_components != count else start.as_start()
    mixture = GaussianMixture(
        count, reg_covar=1e-6, random_state=seed, max_iter=60, tol=1e-2, **begun
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more iterations would not make a better proposal
        mixture.fit(box.coordinates(theta[index]))
    return StudentMixture(box, mixture, hot=hot, widening=widening)


def _tempered(log_weight: np.ndarray, wanted: float) -> tuple[np.ndarray, bool]:
    """Weights to the largest power up to one that leaves ``wanted`` of them effective.

    The second result tells whether the power is below one.
    """

    def powered(power: float) -> np.ndarray:
        return np.exp(power * log_weight)

    if effective_sample_size(powered(1.0)) >= wanted:
        return powered(1.0), False
    low, high = 0.0, 1.0
    for _ in range(_TEMPERING_STEPS):
        middle = 0.5 * (low + high)
        enough = effective_sample_size(powered(middle)) >= wanted
        low, high = (middle, high) if enough else (low, middle)
    return powered(low), True
