"""Which bins carry a detection: predictions of a model with a part, such as a gas, and without it.

Two facts about a bin's expected log predictive density make this one subtraction. The difference
between the two models' tells how much better the model with the part predicts that bin from the
others. And it is what the bin adds to the log Bayes factor, exactly: the evidence of all bins over
that of all but one is the predictive density of that one. A detection that ends when one bin is
left out rests on that bin, and on nothing being wrong with it (Welbanks et al. 2023, AJ 165, 112).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from arielflow.core.errors import ArielflowError
from arielflow.evaluation.leave_one_out import LeaveOneOut, leave_one_out
from arielflow.physics.forward import ForwardModel
from arielflow.retrieval.absent_molecules import ABSENT_SETTINGS, without_molecule
from arielflow.retrieval.kept_draws import KeptDraws, keep_draws
from arielflow.retrieval.model_selection import ALL, MODERATE, Selection
from arielflow.retrieval.spectra.selection import FULL, PointDraws, SpectrumSelection
from arielflow.settings.importance import ImportanceSettings

INCONCLUSIVE = 1.0
"""Log Bayes factor below which nothing is said for either model (Trotta 2008)."""

_OF_FULL = ("elpd", "elpd_error", "pareto_shape", "p_loo")


@dataclass(frozen=True)
class Detection:
    """How the evidence for a part of a model is spread over the bins.

    Attributes
    ----------
    log_bayes_factor : natural logarithm of the Bayes factor of the model with the part over the one
        without it
    loss : what leaving the part out loses in elpd, bin by bin (bin,); NaN in bins without a value
    needs_refit : bins (bin,) of which the weights of either model cannot tell
    """

    log_bayes_factor: float
    loss: np.ndarray
    needs_refit: np.ndarray

    @property
    def total(self) -> float:
        """Loss of all bins together."""
        return float(np.nansum(self.loss))

    @property
    def total_error(self) -> float:
        """Standard error of :attr:`total`, from the scatter between bins."""
        used = self.loss[np.isfinite(self.loss)]
        return float(np.sqrt(len(used) * np.var(used)))

    @property
    def leading(self) -> int:
        """The bin that speaks most for the part."""
        return int(np.nanargmax(self.loss))

    @property
    def log_bayes_factor_without(self) -> np.ndarray:
        """Log Bayes factors (bin,) of the spectrum without that bin."""
        factor: np.ndarray = self.log_bayes_factor - self.loss
        return factor

    @property
    def rests_on(self) -> int | None:
        """The bin without which a detection is none; None where there is no such bin.

        A detection is a log Bayes factor of at least 2.5, moderate evidence; without the bin it is
        inconclusive, below 1.
        """
        left = float(self.log_bayes_factor_without[self.leading])
        alone = self.log_bayes_factor >= MODERATE and left < INCONCLUSIVE
        return self.leading if alone else None

    def warning(self, part: str, wavelength_um: np.ndarray) -> str:
        """What a reader should know of the detection; empty if it rests on more than one bin.

        Parameters
        ----------
        part
            What is detected, such as ``H2O``.
        wavelength_um
            Centres of the bins (bin,) [um].
        """
        if self.rests_on is None:
            return ""
        left = self.log_bayes_factor_without[self.rests_on]
        text = (
            f"{part} rests on the bin at {wavelength_um[self.rests_on]:.3f} um alone: without it "
            f"the log Bayes factor falls from {self.log_bayes_factor:.1f} to {left:.1f}"
        )
        if self.needs_refit[self.rests_on]:
            text += " (Pareto shape above 0.7: retrieve the spectrum without this bin to be sure)"
        return text


def detection(full: LeaveOneOut, without: LeaveOneOut, log_bayes_factor: float) -> Detection:
    """Compare what a model and one without a part of it predict of every bin.

    Parameters
    ----------
    full, without
        Of the same bins.
    log_bayes_factor
        Natural logarithm of the Bayes factor of the first over the second.
    """
    return Detection(
        log_bayes_factor, full.elpd - without.elpd, full.needs_refit | without.needs_refit
    )


def planet_detections(
    forward: ForwardModel,
    planet: int,
    draws: KeptDraws,
    log_evidence: float,
    *,
    seed: int,
    molecules: Sequence[str] | None = None,
    settings: ImportanceSettings = ABSENT_SETTINGS,
) -> dict[str, Detection]:
    """Leave every bin out of a planet's posterior, and of those without each molecule.

    Parameters
    ----------
    forward, planet
        Forward model of a data set, and a position in that.
    draws
        What the planet's posterior keeps, see :func:`arielflow.retrieval.kept_draws.kept_draws`.
    log_evidence
        Natural logarithm of the posterior's evidence under the whole prior.
    seed
        Of the sampling without a molecule.
    molecules
        Those to leave out, one at a time; all of the forward model's if left out.
    settings
        Of the sampling: some thousand spectra and five to twenty seconds of a processor a molecule.

    Returns
    -------
    dict[str, Detection]
        By molecule.

    Raises
    ------
    ArielflowError
        A molecule is none of the forward model's, or nothing is like the spectrum without it.
    """
    full = leave_one_out(draws.log_likelihood, draws.weight)
    found = {}
    for molecule in forward.transmission.molecules if molecules is None else molecules:
        without = without_molecule(forward, planet, molecule, draws, seed=seed, settings=settings)
        kept = keep_draws({planet: without}, forward, settings.kept_draws, seed)[planet]
        left_out = leave_one_out(kept.log_likelihood, kept.weight)
        found[molecule] = detection(full, left_out, log_evidence - without.log_evidence)
    return found


class SelectionByBin(NamedTuple):
    """What leaving bins out says of models compared on one spectrum, see :func:`selection_by_bin`.

    Attributes
    ----------
    models : the comparison's table with, for models that were retrieved, ``elpd_loss``, what they
        lose in elpd to the full model, and ``elpd_loss_error``; ``leading_wavelength_um``, the bin
        that speaks most for the full model; ``log_bayes_factor_full_without_it``; and what
        :meth:`Detection.warning` says added to ``warning``
    points : one row a bin: ``wavelength_um``; the full model's ``elpd``, ``elpd_error``,
        ``pareto_shape`` and ``p_loo``; and the loss of every other model, by its name
    detections : by the names of the simpler models, the evidence for what each lacks
    """

    models: pd.DataFrame
    points: pd.DataFrame
    detections: dict[str, Detection]


def selection_by_bin(
    table: pd.DataFrame,
    draws: Mapping[str, KeptDraws | PointDraws],
    wavelength_um: np.ndarray,
    full: str,
) -> SelectionByBin:
    """Leave every bin out of every model that was compared on a spectrum.

    Parameters
    ----------
    table
        One row a model: ``model``; ``log_bayes_factor_full``, a natural logarithm, of it over the
        full model; and ``warning``.
    draws
        By the names of the models that were retrieved. One of too few draws is told in its
        ``warning``.
    wavelength_um
        Centres of the bins (bin,) [um].
    full
        Name of the model that the others lack a part of.
    """
    left_out = {name: _left_out(own) for name, own in draws.items()}
    whole, points, detections = left_out[full], {"wavelength_um": wavelength_um}, {}
    if isinstance(whole, LeaveOneOut):
        points |= {name: getattr(whole, name) for name in _OF_FULL}
    models, rows = table.copy(), []
    for row in models.itertuples():
        own = left_out.get(row.model)
        values, said = (np.nan,) * 4, own if isinstance(own, str) else ""
        simpler = None if row.model == full else own
        if isinstance(whole, LeaveOneOut) and isinstance(simpler, LeaveOneOut):
            found = detection(whole, simpler, -row.log_bayes_factor_full)
            points[row.model], detections[row.model] = found.loss, found
            leading = wavelength_um[found.leading], -found.log_bayes_factor_without[found.leading]
            values = found.total, found.total_error, *leading
            said = found.warning(_part(row.model), wavelength_um)
        rows.append((*values, "; ".join(filter(None, (row.warning, said)))))
    names = ["elpd_loss", "elpd_loss_error", "leading_wavelength_um"]
    names += ["log_bayes_factor_full_without_it", "warning"]
    models[names] = pd.DataFrame(rows, index=models.index)
    return SelectionByBin(models, pd.DataFrame(points), detections)


def spectrum_selection_by_bin(selection: SpectrumSelection) -> SelectionByBin:
    """Leave every point out of the models of a comparison on an observed spectrum."""
    wavelength_um = selection.full.spectrum.wavelength_um
    return selection_by_bin(selection.table, selection.by_point, wavelength_um, FULL)


def planet_selection_by_bin(selection: Selection, wavelength_um: np.ndarray) -> SelectionByBin:
    """Leave every bin (bin,) [um] out of the models of a comparison on a test planet.

    ``models`` has ``log_bayes_factor_full`` too, against the model of all molecules.
    """
    table = selection.table.copy()
    evidence = table["log_evidence"]
    full = float(evidence[table["model"] == ALL].iloc[0])
    place = table.columns.get_loc("log_bayes_factor") + 1
    table.insert(place, "log_bayes_factor_full", evidence - full)
    return selection_by_bin(table, selection.draws, wavelength_um, ALL)


def _left_out(draws: KeptDraws | PointDraws) -> LeaveOneOut | str:
    """Leave every bin out of one model, or say why not."""
    try:
        return leave_one_out(draws.log_likelihood, draws.weight)
    except ArielflowError as error:
        return str(error)


def _part(model: str) -> str:
    """What a simpler model lacks, in words."""
    return model.removeprefix("without ") if model.startswith("without ") else f"not {model}"
