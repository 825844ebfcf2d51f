"""What the outputs of one spectrum's retrieval show, computed once."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from arielflow.retrieval.spectra.methods import SpectrumResult
from arielflow.retrieval.spectra.predictions import (
    Predictions,
    band,
    curve,
    predict,
    temperature_profile,
)
from arielflow.retrieval.spectra.tables import instrument_table, parameter_table


@dataclass(frozen=True)
class Findings:
    """A posterior, and the tables that follow from it.

    Attributes
    ----------
    result : SpectrumResult
        The posterior.
    seed : int
        It was made with.
    predictions : Predictions
        What its first samples predict.
    parameters, instruments, points, curve : pandas.DataFrame
        See :mod:`arielflow.retrieval.spectra.tables` and ``predictions``.
    profile : pandas.DataFrame | None
        Temperatures, where they depend on pressure.
    """

    result: SpectrumResult
    seed: int
    predictions: Predictions
    parameters: pd.DataFrame
    instruments: pd.DataFrame
    points: pd.DataFrame
    curve: pd.DataFrame
    profile: pd.DataFrame | None

    @classmethod
    def of(cls, result: SpectrumResult, seed: int) -> Findings:
        """Computes a spectrum for some of the samples."""
        predictions = predict(result)
        return cls(
            result=result,
            seed=seed,
            predictions=predictions,
            parameters=parameter_table(result),
            instruments=instrument_table(result, predictions),
            points=band(result, predictions),
            curve=curve(result),
            profile=temperature_profile(result),
        )
