"""All tests of drift between two sets of planets, with tables and a verdict of each kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import false_discovery_control

from arielflow.core.errors import ArielflowError
from arielflow.core.schema import is_usable
from arielflow.evaluation.drift.classifier import Separation, classifier_test
from arielflow.evaluation.drift.columns import compare_columns
from arielflow.evaluation.drift.concept import Concept, concept_drift, no_targets
from arielflow.evaluation.drift.features import (
    FEWEST_PLANETS,
    Compared,
    compared,
    standardised,
    with_components,
)
from arielflow.evaluation.drift.kernel import Discrepancy, mean_discrepancy
from arielflow.evaluation.drift.verdicts import (
    Verdict,
    classifier_verdict,
    columns_verdict,
    concept_verdict,
    kernel_verdict,
    unknown_concept,
)

BIN, COLUMN = "wavelength_um", "column"
_COORDINATES = (
    "auxiliary",
    "auxiliary_quantity",
    "auxiliary_units",
    "target",
    "target_quantity",
    "target_units",
)


@dataclass(frozen=True)
class DriftSettings:
    """How much the tests take in.

    Attributes
    ----------
    level : float
        A p-value (or q-value) up to this one is an alarm.
    kernel_planets, classifier_planets : int
        Planets of either set that the kernel's and the classifier's tests draw at most.
    n_permutations : int
        Of the kernel's test.
    trees : int
        Of every forest.
    """

    level: float = 0.01
    kernel_planets: int = 1000
    classifier_planets: int = 2000
    n_permutations: int = 999
    trees: int = 300


@dataclass(frozen=True)
class Drift:
    """What was found between a reference (training) set and a test set.

    Attributes
    ----------
    verdicts : tuple[Verdict, ...]
        One of every test, in words.
    bins, noise_bins, parameters : pandas.DataFrame
        See :func:`arielflow.evaluation.drift.columns.compare_columns`; by ``wavelength_um`` the
        depths in scale heights and the error bars over the planet's mean depth, by ``column`` the
        auxiliary values and, where both sets have it, theta.
    concept : pandas.DataFrame
        See :func:`arielflow.evaluation.drift.concept.concept_drift`; empty without theta in both.
    planets : pandas.DataFrame
        The test planets that the classifier scored: ``planet_ID``, ``score``, ``p_value``
        (conformal) and ``q_value``, the most foreign ones first.
    separation : Separation
        The classifier's scores.
    notes : tuple[str, ...]
        What was compared and what was left out.
    """

    verdicts: tuple[Verdict, ...]
    bins: pd.DataFrame
    noise_bins: pd.DataFrame
    parameters: pd.DataFrame
    concept: pd.DataFrame
    planets: pd.DataFrame
    separation: Separation
    notes: tuple[str, ...]

    @property
    def summary(self) -> pd.DataFrame:
        """A row a verdict."""
        return pd.DataFrame([vars(verdict) for verdict in self.verdicts])


def compare_sets(
    reference: xr.Dataset,
    test: xr.Dataset,
    *,
    seed: int,
    noise: bool = True,
    settings: DriftSettings | None = None,
) -> Drift:
    """Look for drift of spectra, noise, systems and concept from one set of planets to another.

    Parameters
    ----------
    reference, test
        Planets datasets of one edition, such as a training and a test set; unusable planets are
        left out.
    seed
        Of noise, subsamples, permutations and forests.
    noise
        Draw noise from their own errors on spectra that are stored without, as what is compared
        otherwise is more than any telescope sees.
    settings
        Level of an alarm, and sizes.

    Raises
    ------
    ArielflowError
        The sets lie on other bins or have other columns, or hold fewer than 20 usable planets.
    """
    settings = settings or DriftSettings()
    _check_alike(reference, test)
    first = compared(reference, name="the training set", seed=seed, noise=noise)
    second = compared(test, name="the test set", seed=seed, noise=noise)
    level, wavelength = settings.level, reference["wavelength"].values
    discrepancy = mean_discrepancy(
        *standardised(first.spectrum, second.spectrum),
        seed=seed,
        most=settings.kernel_planets,
        n_permutations=settings.n_permutations,
    )
    separation = _separation(first.spectrum, second.spectrum, seed, settings)
    planets = _planet_table(second.planets, separation)
    bins = compare_columns(first.spectrum, second.spectrum, wavelength, BIN)
    noise_bins = compare_columns(first.noise, second.noise, wavelength, BIN).assign(
        median_ratio=10 ** (_median(second.noise) - _median(first.noise))
    )
    parameters = _parameters(first, second)
    concept = _concept(first, second, seed, settings)
    return Drift(
        verdicts=(
            kernel_verdict(discrepancy, level),
            classifier_verdict(separation, planets, level),
            columns_verdict("spectra, bin by bin", bins, level, "µm"),
            columns_verdict("noise, bin by bin", noise_bins, level, "µm"),
            columns_verdict("systems and parameters", parameters, level),
            concept if isinstance(concept, Verdict) else concept_verdict(concept, level),
        ),
        bins=bins,
        noise_bins=noise_bins,
        parameters=parameters,
        concept=no_targets() if isinstance(concept, Verdict) else concept.targets,
        planets=planets,
        separation=separation,
        notes=_notes((reference, test), (first, second), discrepancy, separation),
    )


def _median(samples: np.ndarray) -> np.ndarray:
    return np.nanmedian(np.where(np.isfinite(samples), samples, np.nan), axis=0)


def _check_alike(reference: xr.Dataset, test: xr.Dataset) -> None:
    """Refuse sets that no test can compare."""
    for name, planets in (("training", reference), ("test", test)):
        missing = [coordinate for coordinate in _COORDINATES if coordinate not in planets.coords]
        if missing:
            raise ArielflowError(
                f"drift: the {name} set lacks the coordinates {', '.join(missing)}; ingest its "
                "files again"
            )
    grids = reference["wavelength"].values, test["wavelength"].values
    if grids[0].shape != grids[1].shape or not np.allclose(*grids, rtol=1e-3):
        raise ArielflowError(
            f"drift: the training spectra have {len(grids[0])} bins of {_span(grids[0])}, the test "
            f"spectra {len(grids[1])} of {_span(grids[1])}; give sets of one edition"
        )
    for dimension in ("auxiliary", "target"):
        names = [list(map(str, planets[dimension].values)) for planets in (reference, test)]
        if names[0] != names[1]:
            raise ArielflowError(
                f"drift: the {dimension} columns of the training set are {', '.join(names[0])}, "
                f"those of the test set {', '.join(names[1])}; give sets of one edition"
            )


def _span(wavelength_um: np.ndarray) -> str:
    return f"{wavelength_um[0]:.4g}-{wavelength_um[-1]:.4g} um" if len(wavelength_um) else "nothing"


def _separation(
    first: np.ndarray, second: np.ndarray, seed: int, settings: DriftSettings
) -> Separation:
    return classifier_test(
        *with_components(first, second),
        seed=seed,
        most=settings.classifier_planets,
        trees=settings.trees,
    )


def _planet_table(test: xr.Dataset, separation: Separation) -> pd.DataFrame:
    new = separation.is_test
    p_value = separation.conformal_p_value[new]
    return pd.DataFrame(
        {
            "planet_ID": test["planet"].values[separation.row[new]].astype(str),
            "score": separation.score[new],
            "p_value": p_value,
            "q_value": false_discovery_control(p_value),
        }
    ).sort_values(["p_value", "score"], ascending=[True, False], ignore_index=True)


def _parameters(first: Compared, second: Compared) -> pd.DataFrame:
    """Auxiliary values (log10 where all are positive), and theta where both sets have it."""
    names, pairs = [], []
    planets = first.planets
    labels = zip(planets["auxiliary"].values, planets["auxiliary_units"].values, strict=True)
    for index, (name, units) in enumerate(labels):
        pair = first.system[:, index], second.system[:, index]
        finite = [values[np.isfinite(values)] for values in pair]
        positive = all(len(values) and values.min() > 0 for values in finite)
        words = f"{name} [{units}]"
        names.append(f"log10 {words}" if positive else words)
        pairs.append(tuple(map(np.log10, pair)) if positive else pair)
    for index, name in enumerate(planets["target"].values):
        pair = first.theta[:, index], second.theta[:, index]
        if all(np.isfinite(values).any() for values in pair):
            names.append(f"{name} [{planets['target_units'].values[index]}]")
            pairs.append(pair)
    if not pairs:
        return compare_columns(np.empty((1, 0)), np.empty((1, 0)), [], COLUMN)
    before, after = (np.stack(samples, axis=1) for samples in zip(*pairs, strict=True))
    return compare_columns(before, after, names, COLUMN)


def _concept(
    first: Compared, second: Compared, seed: int, settings: DriftSettings
) -> Concept | Verdict:
    known = [np.isfinite(one.theta).all(axis=1) for one in (first, second)]
    for name, rows in zip(("training", "test"), known, strict=True):
        if rows.sum() < FEWEST_PLANETS:
            return unknown_concept(f"theta is known of {int(rows.sum())} {name} planets")
    context = first.context[known[0]], second.context[known[1]]
    return concept_drift(
        context,
        (first.theta[known[0]], second.theta[known[1]]),
        _separation(*context, seed, settings),
        first.planets["target"].values,
        trees=settings.trees,
    )


def _notes(
    given: tuple[xr.Dataset, xr.Dataset],
    sets: tuple[Compared, Compared],
    discrepancy: Discrepancy,
    separation: Separation,
) -> tuple[str, ...]:
    notes = []
    for name, before, one in zip(("training", "test"), given, sets, strict=True):
        stored = before.attrs.get("noise") == "free"
        drawn = one.planets.attrs.get("noise") != before.attrs.get("noise")
        words = "noise-free spectra" if stored else "spectra as stored, with their noise"
        notes.append(
            f"{name} set: {one.n_planets} planets compared, {one.left_out} left out as unusable; "
            + ("noise drawn on noise-free spectra" if drawn else words)
        )
    scored = int((~separation.is_test).sum()), int(separation.is_test.sum())
    notes.append(
        f"kernel test of {discrepancy.n_reference} and {discrepancy.n_test} planets, classifier of "
        f"{scored[0]} and {scored[1]}; column tests of all"
    )
    if shared := _shared_spectra(*given):
        notes.append(
            f"{shared} test planets have the spectrum of a training planet: the sets are not "
            "independent, which every p-value takes them for"
        )
    return tuple(notes)


def _shared_spectra(reference: xr.Dataset, test: xr.Dataset) -> int:
    """Planets of the test set whose stored spectrum is in the reference, in single precision."""
    with np.errstate(over="ignore"):  # what is beyond it has been flagged
        known, new = (
            planets["transit_depth"].values[is_usable(planets)].astype(np.float32)
            for planets in (reference, test)
        )
    spectra = {spectrum.tobytes() for spectrum in known}
    return sum(spectrum.tobytes() in spectra for spectrum in new)
