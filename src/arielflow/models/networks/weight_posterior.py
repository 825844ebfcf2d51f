"""Variational posteriors of a network's weights, by Pyro."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Literal

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.distributions.torch_transform import TransformModule
from pyro.distributions.transforms import ComposeTransformModule, affine_coupling
from pyro.infer import Trace_ELBO
from pyro.infer.autoguide import (
    AutoGuide,
    AutoLowRankMultivariateNormal,
    AutoNormal,
    AutoNormalizingFlow,
    init_to_value,
)
from pyro.nn import PyroModule, PyroSample
from pyro.nn.module import to_pyro_module_
from torch import Tensor, nn
from torch.distributions import constraints
from torch.func import functional_call, vmap

from arielflow.models.networks.residual import WarmUp

# Else modules of the same names, such as an ensemble's members, share their parameters.
pyro.settings.set(module_local_params=True)

Guide = Literal["mean_field", "low_rank", "flow"]
# A guide starts this narrow, around ordinary initial weights: one that starts wide buries the
# gradients of the first epochs in its noise.
_INITIAL_SCALE = 0.003
_WIDTHS_LEARNING_RATE = 10
_COUPLING_WIDTH = 32
_COUPLING_LAYERS = 2
_WEIGHTED = (nn.Linear, nn.Conv1d)


class _Model(PyroModule):
    """Joint distribution of weights and coordinates given the context."""

    def __init__(
        self, network: nn.Module, likelihood: Callable[[Tensor], dist.TorchDistribution]
    ) -> None:
        super().__init__()
        self.network = network
        self.likelihood = likelihood

    def forward(
        self, context: Tensor, z: Tensor, n_rows: Tensor | float = 1.0, power: Tensor | float = 1.0
    ) -> None:
        """A batch of ``n_rows`` planets; priors count with ``power``."""
        with poutine.scale(scale=power):
            outputs = self.network(context)
        with poutine.scale(scale=n_rows / len(z)), pyro.plate("planets", len(z)):
            pyro.sample("z", self.likelihood(outputs), obs=z)


class WeightPosterior(nn.Module):
    """A network with priors on weights, their variational posterior, and draws of it.

    Parameters
    ----------
    network
        From context (row, feature) to outputs (row, number); becomes part of the module.
    bayesian
        It or its part whose linear and convolutional layers get priors on weights and biases: zero
        mean, and ``prior_scale`` over the root of the layer's inputs (biases: ``prior_scale``).
    likelihood
        From outputs to a distribution of the coordinates (row, target).
    example
        Context and coordinates of any rows, to find the shapes with.
    guide, rank
        Family of the variational posterior, and the rank of ``low_rank``.
    prior_scale
        See above.
    kl_weight
        Weight of the divergence from the prior in the loss; below 1 a cold posterior.
    n_draws
        Draws that :meth:`outputs` has.
    """

    def __init__(
        self,
        network: nn.Module,
        bayesian: nn.Module,
        likelihood: Callable[[Tensor], dist.TorchDistribution],
        example: tuple[Tensor, Tensor],
        *,
        guide: Guide,
        rank: int,
        prior_scale: float,
        kl_weight: float,
        n_draws: int,
    ) -> None:
        super().__init__()
        # The same network without priors, to be called with weights drawn; no parameters of its
        # own are ever used, so it is no submodule.
        self._plain = (deepcopy(network).eval(),)
        initial = _set_priors(network, bayesian, prior_scale)
        self.model = _Model(network, likelihood)
        self.guide = _make_guide(self.model, guide, rank, initial)
        # Guides make their parameters when they are first called.
        self.guide(*example)
        for name, parameter in self.guide.named_parameters():
            # The prior is their regularisation.
            parameter.undecayed = True
            if "scale" in name:
                # Widths have to cross orders of magnitude where means only shift.
                parameter.learning_rate_factor = _WIDTHS_LEARNING_RATE
        self.warm_up = WarmUp()
        self.kl_weight = kl_weight
        self.register_buffer("n_rows", torch.ones(()))
        self.n_draws = n_draws
        for name, value in initial.items():
            empty = torch.zeros(n_draws, *value.shape)
            self.register_buffer(_buffer(name), empty)
        self._drawn = tuple(initial)

    def expect(self, n_rows: int, warm_up: int) -> None:
        """Say what the training will be.

        Parameters
        ----------
        n_rows
            Training planets. Each counts once in the bound, however many draws of noise or of its
            posterior it is seen with.
        warm_up
            Epochs until the divergence from the prior counts in full.
        """
        self.n_rows.fill_(n_rows)
        self.warm_up.over(n_rows * warm_up)

    def loss(self, context: Tensor, z: Tensor) -> Tensor:
        """Negative evidence lower bound per training planet, from one draw of the weights.

        With ``kl_weight`` other than 1, the tempered one.
        """
        power = self.kl_weight * self.warm_up(len(z))
        # A loss that is not finite is reported by the training, not by a distribution's check.
        with pyro.validation_enabled(False):
            bound = Trace_ELBO().differentiable_loss(
                self.model, poutine.scale(self.guide, scale=power), context, z, self.n_rows, power
            )
        return bound / self.n_rows

    @torch.no_grad()
    def draw(self, seed: int) -> None:
        """Draw the weights of the trained model, on the CPU."""
        torch.manual_seed(seed)
        for number in range(self.n_draws):
            for name, value in self.guide().items():
                getattr(self, _buffer(name))[number] = value

    def outputs(self, context: Tensor) -> Tensor:
        """Outputs (draw, row, number) of every draw of the weights."""
        prefix = "network."
        fixed = {
            name: value
            for name, value in self.model.network.named_parameters()
            if f"{prefix}{name}" not in self._drawn
        }
        drawn = {name.removeprefix(prefix): getattr(self, _buffer(name)) for name in self._drawn}

        def one(weights: dict[str, Tensor]) -> Tensor:
            return functional_call(self._plain[0], fixed | weights, (context,))

        return vmap(one)(drawn)


def _buffer(name: str) -> str:
    return "draws_of_" + name.replace(".", "/")


def _set_priors(network: nn.Module, bayesian: nn.Module, prior_scale: float) -> dict[str, Tensor]:
    """Give weights normal priors, in place, and return their initial values by site's name."""
    layers = [layer for layer in bayesian.modules() if isinstance(layer, _WEIGHTED)]
    names = {layer: name for name, layer in network.named_modules()}
    to_pyro_module_(network)
    initial = {}
    for layer in layers:
        inputs = layer.weight[0].numel()
        for kind, scale in (("weight", prior_scale / inputs**0.5), ("bias", prior_scale)):
            value = getattr(layer, kind).detach().clone()
            initial[f"network.{names[layer]}.{kind}"] = value
            # Unchecked, so that a diverged training shows in its loss.
            with pyro.validation_enabled(False):
                prior = dist.Normal(value.new_zeros(()), scale).expand(value.shape)
                prior = prior.to_event(value.ndim)
            setattr(layer, kind, PyroSample(prior))
    return initial


def _make_guide(model: _Model, kind: Guide, rank: int, initial: dict[str, Tensor]) -> AutoGuide:
    start = init_to_value(values=initial)
    if kind == "mean_field":
        return AutoNormal(model, init_loc_fn=start, init_scale=_INITIAL_SCALE)
    if kind == "low_rank":
        return AutoLowRankMultivariateNormal(
            model, init_loc_fn=start, init_scale=_INITIAL_SCALE, rank=rank
        )
    values = torch.cat([value.flatten() for value in initial.values()])
    return AutoNormalizingFlow(model, partial(_coupling_flow, values))


class _FlippedAffine(TransformModule):
    """Reverses the order of the dimensions, then scales and shifts each by itself."""

    domain = codomain = constraints.real_vector
    bijective = True

    def __init__(self, location: Tensor, scale: float) -> None:
        super().__init__(cache_size=1)
        self.location = nn.Parameter(location.clone())
        self.log_scale = nn.Parameter(torch.full_like(location, scale).log())

    def _call(self, x: Tensor) -> Tensor:
        return self.location + self.log_scale.exp() * x.flip(-1)

    def _inverse(self, y: Tensor) -> Tensor:
        return ((y - self.location) / self.log_scale.exp()).flip(-1)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.log_scale.sum().expand(x.shape[:-1])


def _coupling_flow(initial: Tensor, dimension: int) -> ComposeTransformModule:
    """Coupling layers of alternating halves that end narrowly around the initial weights."""
    layers: list[TransformModule] = []
    for number in range(_COUPLING_LAYERS):
        last = number == _COUPLING_LAYERS - 1
        location = initial if last else torch.zeros_like(initial)
        layers.append(affine_coupling(dimension, [_COUPLING_WIDTH]))
        layers.append(_FlippedAffine(location, _INITIAL_SCALE if last else 1.0))
    return ComposeTransformModule(layers)
