"""Gaussian mixtures whose parameters a network gives, with full covariances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor
from torch.nn.functional import softplus

# The narrowest width that a component may take, in units of the prior's.
_NARROWEST = 1e-4


def mixture_outputs(n_targets: int, components: int) -> int:
    """Numbers that a mixture takes: a logit, a mean and a Cholesky factor a component."""
    return components * (1 + n_targets + n_targets * (n_targets + 1) // 2)


def gaussian_mixture(outputs: Tensor, n_targets: int, components: int) -> dist.MixtureSameFamily:
    """Mixture of full-covariance Gaussians from a network's outputs (..., number).

    Parameters
    ----------
    outputs
        :func:`mixture_outputs` numbers along the last axis.
    n_targets, components
        Dimension and number of the Gaussians.
    """
    parts = outputs.unflatten(-1, (components, -1))
    logits, mean, entries = parts.split([1, n_targets, parts.shape[-1] - 1 - n_targets], dim=-1)
    widths, others = entries.split([n_targets, entries.shape[-1] - n_targets], dim=-1)
    factor = torch.diag_embed(softplus(widths) + _NARROWEST)
    rows, columns = torch.tril_indices(n_targets, n_targets, -1, device=outputs.device)
    factor[..., rows, columns] = others
    return dist.MixtureSameFamily(
        dist.Categorical(logits=logits.squeeze(-1), validate_args=False),
        dist.MultivariateNormal(mean, scale_tril=factor, validate_args=False),
        validate_args=False,
    )


def marginal_moments(
    mixture: dist.MixtureSameFamily, transform: Callable[[Tensor], Tensor], nodes: int = 32
) -> tuple[Tensor, Tensor]:
    """Mean and variance (..., target) of every target under a mixture of its coordinates.

    By Gauss-Hermite quadrature of every component's marginals, without sampling noise.

    Parameters
    ----------
    mixture
        Mixture of batch shape (...).
    transform
        From coordinates (node, component, ..., target) to targets, each by itself.
    nodes
        Number of points of the quadrature.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    components = mixture.component_distribution
    mean = components.mean.movedim(-2, 0).double()
    width = components.variance.movedim(-2, 0).double().sqrt()
    shape = (nodes, *(1 for _ in mean.shape))
    place = torch.as_tensor(points, device=mean.device).reshape(shape)
    share = torch.as_tensor(weights / weights.sum(), device=mean.device).reshape(shape)
    share = share * mixture.mixture_distribution.probs.movedim(-1, 0).double().unsqueeze(-1)
    values = transform(mean + width * place)
    first = (share * values).sum(dim=(0, 1))
    return first, (share * (values - first).square()).sum(dim=(0, 1))
