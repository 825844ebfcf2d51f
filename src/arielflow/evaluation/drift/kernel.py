"""Maximum mean discrepancy: one number for how far two clouds of points are apart."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import pdist, squareform


class Discrepancy(NamedTuple):
    """Result of :func:`mean_discrepancy`.

    Attributes
    ----------
    statistic : float
        Unbiased estimate of the squared discrepancy; may be negative.
    deviations : float
        The statistic in standard deviations of its permutations.
    p_value : float
        Share of relabellings, the true one included, that are as far apart.
    bandwidth : float
        Of the kernel, in the features' units.
    n_reference, n_test : int
        Points that entered.
    """

    statistic: float
    deviations: float
    p_value: float
    bandwidth: float
    n_reference: int
    n_test: int


def mean_discrepancy(
    reference: np.ndarray,
    test: np.ndarray,
    *,
    seed: int,
    most: int = 1000,
    n_permutations: int = 999,
) -> Discrepancy:
    """Squared maximum mean discrepancy of two samples, with a permutation p-value.

    Gretton et al. 2012 (JMLR 13, 723), equation 3, with the kernel exp(−|x − y|²/2b²), b the median
    distance of the pooled points. Exact p-values: under the hypothesis that both samples come from
    one distribution, p ≤ α happens with a probability of at most α.

    Parameters
    ----------
    reference, test
        Points, shapes (planet, feature) and (other planet, feature), all finite, on scales that
        make features comparable; at least two each.
    seed
        Of subsample and permutations.
    most
        Points of either sample that enter, drawn at random; memory and time grow as its square.
    n_permutations
        Random relabellings; the least p-value is 1/(n_permutations + 1).
    """
    rng = np.random.default_rng(seed)
    chosen = [x[rng.permutation(len(x))[:most]] for x in (reference, test)]
    sizes = np.array([len(x) for x in chosen])
    distance = pdist(np.concatenate(chosen), "sqeuclidean")
    apart = distance[distance > 0]
    bandwidth = float(np.median(np.sqrt(apart))) if len(apart) else 1.0
    kernel = squareform(np.exp(-distance / (2 * bandwidth**2)))  # the diagonal is 0: no pairs
    total = float(kernel.sum())
    labels = np.zeros((n_permutations + 1, sizes.sum()), dtype=bool)
    labels[:, sizes[0] :] = True
    labels[1:] = rng.permuted(labels[1:], axis=1)
    members = labels.T.astype(float)
    within_test = np.einsum("ip,ip->p", members, kernel @ members)
    across = kernel.sum(axis=0) @ members - within_test
    within_reference = total - within_test - 2 * across
    statistics = (
        within_reference / (sizes[0] * (sizes[0] - 1))
        + within_test / (sizes[1] * (sizes[1] - 1))
        - 2 * across / (sizes[0] * sizes[1])
    )
    found, permuted = statistics[0], statistics[1:]
    # What differs by rounding alone is a tie, as between points that are all the same.
    tied = permuted >= found - 1e-12
    scatter = float(permuted.std())
    return Discrepancy(
        statistic=float(found),
        deviations=float((found - permuted.mean()) / scatter) if scatter > 1e-12 else 0.0,
        p_value=float((1 + tied.sum()) / (1 + n_permutations)),
        bandwidth=bandwidth,
        n_reference=int(sizes[0]),
        n_test=int(sizes[1]),
    )
