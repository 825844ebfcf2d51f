"""What the driver and its methods of retrieval ask of one another.

A method retrieves one planet; :mod:`arielflow.retrieval.planets` takes it through a data set.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import xarray as xr

from arielflow.core.samples import resample
from arielflow.physics.forward import ForwardModel


@dataclass(frozen=True)
class Attempt:
    """One planet, and what its retrieval is given.

    Attributes
    ----------
    forward, planet : forward model, and the planet's position in its data set
    data : planets dataset of this planet alone
    seed : the planet's own
    checkpoints : folder of checkpoints, for methods that resume; None to keep none
    progress : to be told, now and then, how far the retrieval is
    """

    forward: ForwardModel
    planet: int
    data: xr.Dataset
    seed: int
    checkpoints: Path | None
    progress: Callable[[Any], None]

    @property
    def name(self) -> str:
        """The planet's identifier."""
        return str(self.forward.systems.names[self.planet])


class Retrieved(Protocol):
    """A retrieved planet, with an attribute for every variable that its method names.

    ``log_evidence``, a natural logarithm, is that under the whole retrieval prior. As a string it
    tells what was found, for a log.
    """

    log_evidence: float

    def equal_weight_samples(self, n_samples: int, seed: int) -> np.ndarray:
        """Equally weighted samples (n_samples, target) in random order."""
        ...


class Method(Protocol):
    """How one planet is retrieved; processes can be sent it.

    Attributes
    ----------
    variables : variables of the posterior dataset by planet, in their order
    fit_checked : the posterior dataset also tells how well every spectrum is met
    resumes : it keeps checkpoints
    settings : its own
    """

    variables: ClassVar[tuple[str, ...]]
    fit_checked: ClassVar[bool]
    resumes: ClassVar[bool]
    settings: Any

    def retrieve(self, attempt: Attempt) -> Retrieved:
        """Retrieve a planet.

        Raises
        ------
        ArielflowError
            It cannot be retrieved; the other planets can.
        """
        ...

    def attributes(self) -> dict[str, Any]:
        """What the posterior dataset tells of the method."""
        ...


class WeightedSamples:
    """What all results have in common that hold weighted samples ``theta`` and ``weight``."""

    theta: np.ndarray
    weight: np.ndarray

    def equal_weight_samples(self, n_samples: int, seed: int) -> np.ndarray:
        """Equally weighted samples (n_samples, target) in random order."""
        rng = np.random.default_rng([seed, 1])
        return rng.permutation(resample(self.theta, self.weight, n_samples, rng))
