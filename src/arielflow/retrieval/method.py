"""What the driver and its methods of retrieval ask of one another.

A method retrieves one planet; :mod:`arielflow.retrieval.planets` takes it through a data set.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

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


class WeightedResult:
    """What all results have in common that hold weighted samples ``theta`` and ``weight``."""

    theta: np.ndarray
    weight: np.ndarray

    def equal_weight_samples(self, n_samples: int, seed: int) -> np.ndarray:
        """Equally weighted samples (n_samples, target) in random order."""
        rng = np.random.default_rng([seed, 1])
        return rng.permutation(resample(self.theta, self.weight, n_samples, rng))


class Method(ABC):
    """How one planet is retrieved; methods are frozen dataclasses, which processes can be sent.

    Attributes
    ----------
    settings : its own
    variables : attributes of its results, see :meth:`retrieve`, that the posterior dataset has as
        variables by planet, in this order
    fit_checked : the posterior dataset also tells how well every spectrum is met
    resumes : it keeps checkpoints
    """

    settings: Any
    variables: ClassVar[tuple[str, ...]] = (
        *("log_evidence", "effective_samples", "likelihood_calls", "seconds"),
        *("retrieved", "fault"),
    )
    fit_checked: ClassVar[bool] = False
    resumes: ClassVar[bool] = False

    @property
    def kept_draws(self) -> int:
        """Weighted draws per planet to keep, see :mod:`arielflow.retrieval.kept_draws`."""
        return 0

    def check(self, planets: xr.Dataset, n_samples: int) -> None:  # noqa: B027 - most take any
        """Raise :class:`ArielflowError` where planets, or samples kept of each, do not suit it."""

    @abstractmethod
    def retrieve(self, attempt: Attempt) -> Any:
        """Retrieve a planet.

        Returns
        -------
        WeightedResult
            With the ``variables`` as attributes, but for those that the driver knows:
            ``retrieved`` and ``fault``. ``log_evidence``, a natural logarithm, is that under the
            whole retrieval prior. As a string it tells what was found, for a log. What makes no
            posterior (:class:`arielflow.retrieval.model_selection.ModelSelection`) returns what it
            likes.

        Raises
        ------
        ArielflowError
            It cannot be retrieved; the other planets can.
        """

    def attributes(self) -> dict[str, Any]:
        """What the posterior dataset tells of the method: its settings."""
        return self.settings.model_dump()
