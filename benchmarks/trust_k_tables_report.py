"""What ``trust_k_tables.py`` makes of its fits: verdicts, the bins and absorbers that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from k_table_spectra import drawn_below
from scipy.stats import binomtest

from arielflow.evaluation.trust.absorbers import (
    Distortion,
    corrected,
    evidence_of_distortion,
    shared_distortion,
)
from arielflow.evaluation.trust.residuals import Refit, residual_tests
from arielflow.evaluation.trust.thresholds import Reference
from arielflow.evaluation.trust.verdicts import VERDICTS
from arielflow.physics.systems import Systems, scale_height_m, surface_gravity_m_s2
from arielflow.plotting import absorber_shares, bin_alarms, opacity_corrections
from arielflow.retrieval.linear import left_matrix

DOCS = Path(__file__).parents[1] / "docs"
MOLECULES = ("H2O", "CO2", "CH4", "CO", "NH3")
CONTINUA = ("CIA", "Rayleigh")
ABSORBERS = (*MOLECULES, *CONTINUA)
EVERYTHING = "all together"
"""Not an absorber: the whole opacity of a bin, which no molecule is named by."""
N_FOLDS = 8
LEAST_EVIDENCE = 3.0
ALARM_SIGMA = 3.0
REGIONS_UM = (0.5, 1.1, 1.95, 3.15, 5.0, 7.8)


@dataclass(frozen=True)
class Fitted:
    """Fits of one case.

    Attributes
    ----------
    label : in words
    real, simulated : as ``trust_k_tables.finished`` returns them
    planets : the real planets' means of bins, in the case's cells
    """

    label: str
    real: xr.Dataset
    simulated: xr.Dataset
    planets: xr.Dataset

    @property
    def wavelength_um(self) -> np.ndarray:
        """Centres of the cells."""
        centre: np.ndarray = self.real["wavelength"].values
        return centre

    def reference(self) -> Reference:
        """Of the simulated planets."""
        return Reference(residual_tests(as_refit(self.simulated), self.wavelength_um))

    def effects(self) -> dict[str, np.ndarray]:
        """Change of the real planets' depths in error bars per dex of each opacity, by name."""
        prior = self.planets["prior_high"].values - self.planets["prior_low"].values
        per_dex = self.real["slopes"].values * (np.sqrt(12) / prior)[:, None, :]
        column = list(self.planets["target_quantity"].values).index
        found = {name: per_dex[:, :, column(name)] for name in MOLECULES}
        found["CIA"] = np.log(10) * self.real["cia_effect"].values
        found["Rayleigh"] = self.real["scattering_effect"].values
        systems = Systems.of(self.planets)
        seen_m = np.sqrt(systems.depth) * systems.star_radius_m[:, None]
        gravity = surface_gravity_m_s2(systems.planet_mass_kg[:, None], seen_m)
        temperature_k = self.real["theta"].values[:, [column("planet_temperature")]]
        height_m = scale_height_m(temperature_k, gravity)
        rise = np.log(10) * 2 * seen_m * height_m / systems.star_radius_m[:, None] ** 2
        return found | {EVERYTHING: rise / systems.error}


def as_refit(found: xr.Dataset) -> Refit:
    """The fits as the residual tests take them."""
    return Refit(*(found[name].values for name in ("residual", "slopes", "theta")))


def freed(found: Refit) -> Refit:
    """The fits as if none had met an edge of the prior, by one more step of a straight line.

    Where an edge holds an amount, residuals ask for more of the whole absorber. Here it is asked
    what no amount of it explains.
    """
    left = left_matrix(found.slopes)
    return replace(found, residual=np.einsum("nij,nj->ni", left, found.residual))


def verdicts(found: Refit, fitted: Fitted, reference: Reference) -> np.ndarray:
    """Verdict of every planet."""
    return reference.verdicts(reference.probabilities(residual_tests(found, fitted.wavelength_um)))


def verdict_row(fitted: Fitted) -> dict[str, object]:
    """Shares of verdicts with their 95 % intervals, and the false alarms of the tests."""
    real = as_refit(fitted.real)
    called = verdicts(real, fitted, fitted.reference())
    row: dict[str, object] = {"fits": fitted.label, "planets": len(called)}
    for name in VERDICTS:
        count = int(np.sum(called == name))
        interval = binomtest(count, len(called)).proportion_ci(method="wilson")
        row |= {name: count / len(called), f"{name}_low": interval.low}
        row[f"{name}_high"] = interval.high
    row["red_drawn_below_2000_k"] = np.mean(called[drawn_below(fitted.planets)] == "red")
    cells = len(fitted.wavelength_um)
    row |= {"cells": cells, "chi2_median": np.median(real.chi2)}
    row["chi2_median_per_cell"] = np.median(real.chi2) / cells
    usual = as_refit(fitted.simulated)
    row |= {"simulated": len(usual.chi2), "simulated_chi2_median": np.median(usual.chi2)}
    return row | {f"simulated_{name}": share for name, share in false_alarms(fitted).items()}


def false_alarms(fitted: Fitted) -> dict[str, float]:
    """Shares of simulated planets called red and amber, each by the limits of the others."""
    tests = residual_tests(as_refit(fitted.simulated), fitted.wavelength_um)
    called = np.empty(len(tests), dtype=object)
    for fold in range(N_FOLDS):
        own = np.arange(len(tests)) % N_FOLDS == fold
        reference = Reference(tests[~own])
        called[own] = reference.verdicts(reference.probabilities(tests[own]))
    return {name: np.mean(called == name) for name in ("red", "amber")}


def pattern_rows(fitted: Fitted) -> pd.DataFrame:
    """Shares of the planets that are red, by what their strongest pattern is and where."""
    real = as_refit(fitted.real)
    tests = residual_tests(real, fitted.wavelength_um)
    red = verdicts(real, fitted, fitted.reference()) == "red"
    kind = tests["pattern_name"].str.replace(r" (at|towards) .*", "", regex=True)
    region = np.searchsorted(REGIONS_UM, tests["pattern_um"].to_numpy())
    limits = [f"{REGIONS_UM[i - 1]:g}-{REGIONS_UM[i]:g}" for i in region]
    table = pd.DataFrame(
        {
            "fits": fitted.label,
            "pattern": kind,
            "centre_um": limits,
            "spectrum": np.where(tests["pattern_sigma"] > 0, "deeper", "shallower"),
        }
    )[red]
    columns = list(table)
    share = table.groupby(columns).size().rename("planets").reset_index()
    share["share"] = share["planets"] / len(red)
    return share.sort_values("planets", ascending=False)


def cell_rows(fitted: Fitted) -> pd.DataFrame:
    """What every cell says, and the corrections that all planets ask of the cross-sections."""
    real = as_refit(fitted.real)
    left = left_matrix(real.slopes)
    # The covariance of what noise leaves is the square of the matrix.
    sigma = real.residual / np.sqrt(np.sum(left**2, axis=2))
    low, median, high = np.quantile(real.residual, [0.16, 0.5, 0.84], axis=0)
    table = pd.DataFrame(
        {
            "fits": fitted.label,
            "wavelength_um": fitted.wavelength_um,
            "residual_median": median,
            "residual_16_percent": low,
            "residual_84_percent": high,
            "share_deeper": np.mean(sigma > ALARM_SIGMA, axis=0),
            "share_shallower": np.mean(sigma < -ALARM_SIGMA, axis=0),
            "share_of_chi2": np.median(real.residual**2 / real.chi2[:, None], axis=0),
        }
    )
    effects = fitted.effects()
    correction = shared_distortion(freed(real), np.array([effects[name] for name in ABSORBERS]))
    for name, dex, deviation in zip(
        ABSORBERS, correction.dex, correction.deviation_dex, strict=True
    ):
        table[f"correction_{name}_dex"], table[f"deviation_{name}_dex"] = dex, deviation
    return table


def absorber_rows(fitted: Fitted) -> pd.DataFrame:
    """How many planets name which absorber, and what correcting it does to other planets."""
    real, effects, reference = freed(as_refit(fitted.real)), fitted.effects(), fitted.reference()
    evidence = evidence_of_distortion(real, np.array([*effects.values()]))
    by_name = dict(zip(effects, evidence, strict=True))
    named = evidence[: len(ABSORBERS)]
    leading = np.where(named.max(axis=0) > LEAST_EVIDENCE, named.argmax(axis=0), -1)
    rows = []
    sets: dict[str, tuple[str, ...]] = {"none": (), **{name: (name,) for name in effects}}
    sets |= {"five molecules": MOLECULES, "all seven": ABSORBERS}
    for label, names in sets.items():
        chosen = np.array([effects[name] for name in names])
        after = cross_corrected(real, chosen) if names else real
        called = verdicts(after, fitted, reference)
        row: dict[str, object] = {"fits": fitted.label, "absorber": label}
        if label in (*ABSORBERS, "none"):
            place = -1 if label == "none" else ABSORBERS.index(label)
            row["share_leading"] = np.mean(leading == place)
        if label in by_name:
            row["share_with_evidence"] = np.mean(by_name[label] > LEAST_EVIDENCE)
            row["log_bayes_factor_median"] = np.median(by_name[label])
        row["chi2_removed_median"] = np.median(1 - after.chi2 / real.chi2)
        row["chi2_median_corrected"] = np.median(after.chi2)
        row["red_corrected"] = np.mean(called == "red")
        rows.append(row)
    return pd.DataFrame(rows)


def cross_corrected(real: Refit, effects: np.ndarray) -> Refit:
    """Residuals with opacities corrected, either half of the planets by what the other asks for."""
    residual = np.empty_like(real.residual)
    half = np.arange(len(residual)) % 2 == 0
    for own in (half, ~half):
        learnt: Distortion = shared_distortion(rows_of(real, ~own), effects[:, ~own])
        residual[own] = corrected(rows_of(real, own), effects[:, own], learnt).residual
    return replace(real, residual=residual)


def rows_of(found: Refit, chosen: np.ndarray) -> Refit:
    """Fits of some planets."""
    return Refit(found.residual[chosen], found.slopes[chosen], found.theta[chosen])


def report(cases: Mapping[str, Fitted]) -> None:
    """Tables and figures."""
    tables = {
        "verdicts": pd.DataFrame([verdict_row(fitted) for fitted in cases.values()]),
        "patterns": pd.concat([pattern_rows(fitted) for fitted in cases.values()]),
        "cells": pd.concat([cell_rows(fitted) for fitted in cases.values()]),
        "absorbers": pd.concat([absorber_rows(fitted) for fitted in cases.values()]),
    }
    for name, table in tables.items():
        table.to_csv(DOCS / f"trust_real_{name}.csv", index=False, float_format="%.4g")
    print(tables["verdicts"].T.to_string(header=False))
    print(tables["absorbers"].to_string())
    print(tables["patterns"].groupby("fits").head(8).to_string())
    for name, figure in figures(tables).items():
        figure.savefig(DOCS / "figures" / f"trust_real_{name}.png", dpi=90)


def figures(tables: Mapping[str, pd.DataFrame]) -> dict[str, object]:
    """By name."""
    cells = {label: own for label, own in tables["cells"].groupby("fits", sort=False)}
    columns = ("wavelength_um", "share_deeper", "share_shallower")
    alarms = [{label: own[name].to_numpy() for label, own in cells.items()} for name in columns]
    absorbers = tables["absorbers"]
    titles = {
        "share_leading": "planets it explains best",
        "chi2_removed_median": "χ² removed in other planets",
        "red_corrected": "red with it corrected",
    }
    panels = {
        title: absorbers.pivot(index="fits", columns="absorber", values=column)
        .reindex(index=list(cells), columns=list(dict.fromkeys(absorbers["absorber"])))
        .dropna(axis="columns", how="all")
        for column, title in titles.items()
    }
    shown = {label: own for label, own in cells.items() if label.endswith("CIA")}
    corrections = {
        label: {
            name: own[[f"correction_{name}_dex", f"deviation_{name}_dex"]].to_numpy().T
            for name in ABSORBERS
        }
        for label, own in shown.items()
    }
    centre = next(iter(shown.values()))["wavelength_um"].to_numpy()
    return {
        "cells": bin_alarms(*alarms),
        "absorbers": absorber_shares(panels),
        "corrections": opacity_corrections(centre, corrections),
    }
