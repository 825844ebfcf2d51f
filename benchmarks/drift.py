"""Drift from simulated planets to the real spectra of the 2022 challenge, false alarms and power.

``python benchmarks/drift.py SPECTRA`` compares 5,000 planets simulated as
``config/adc2022_real.yaml`` says with the challenge's test spectra (SPECTRA, a folder in its
layout), and with simulated spectra of the same real systems; it writes ``docs/drift.csv``,
``docs/drift_bins.csv`` and the figures of ``docs/drift.md``. Then it counts alarms on small sets
that do not differ, or by a known shift, into ``docs/drift_power.csv``. Finished repeats are kept in
``results/drift`` and not counted again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from arielflow.core.files import write_dataset, write_table
from arielflow.core.schema import auxiliary_values, is_usable, open_dataset, target_index
from arielflow.core.seeds import derived_seed
from arielflow.data.forward_models import edition_model
from arielflow.data.ingest import ingest
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.drift.compare import Drift, DriftSettings, compare_sets
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.physics.systems import Systems
from arielflow.plotting import drift_by_bin, drift_of_parameters, drift_scores

ROOT = Path(__file__).parents[1]
RESULTS, DOCS = ROOT / "results" / "drift", ROOT / "docs"
EDITION = get_edition("adc2022")
SEED = 2026
N_TRAIN, N_POOL, N_SMALL = 5000, 20_000, 300
SMALL = DriftSettings(n_permutations=199, trees=20)
LEVELS = (0.01, 0.05)
# The bins of the near-infrared spectrometer begin here; the shorter ones are photometers' and the
# prism's.
SPECTROMETER_UM = 1.95


def simulated(n_planets: int, seed: int, physics: PhysicsSettings) -> xr.Dataset:
    """Planets as the configuration of the real test spectra draws them, kept in ``results``."""
    path = RESULTS / f"planets_{n_planets}_{seed}.nc"
    if not path.is_file():
        planets = simulate_planets(
            *(EDITION, n_planets),
            seed=seed,
            split="train",
            prior="wide",
            population="matched",
            physics=physics,
        )
        write_dataset(planets, path)
    return open_dataset(path)


def respectred(planets: xr.Dataset, theta: np.ndarray, physics: PhysicsSettings) -> xr.Dataset:
    """The same planets and errors with the spectra of other parameters."""
    model = ForwardModel(edition_model(EDITION, physics), planets)
    depth = model.spectra(np.arange(planets.sizes["planet"]), theta)
    return planets.assign(transit_depth=(("planet", "wavelength"), depth), theta=planets["theta"])


def same_systems(real: xr.Dataset, train: xr.Dataset, physics: PhysicsSettings) -> xr.Dataset:
    """Simulated spectra of the real systems, with abundances of simulated planets.

    Temperatures follow from the systems as the simulation draws them: the simulated planet's, times
    the ratio of the equilibrium temperatures.
    """
    usable = real.isel(planet=is_usable(real))
    rows = np.random.default_rng(SEED).choice(train.sizes["planet"], usable.sizes["planet"], False)
    theta = train["theta"].values[rows]
    heat = [equilibrium(planets) for planets in (usable, train.isel(planet=rows))]
    theta[:, target_index(train, "planet_temperature")] *= heat[0] / heat[1]
    made = respectred(usable, theta, physics)
    return made.isel(planet=np.isfinite(made["transit_depth"].values).all(axis=1))


def equilibrium(planets: xr.Dataset) -> np.ndarray:
    """Equilibrium temperatures (planet,) [K]."""
    return Systems.of(planets).equilibrium_temperature_k


def report_real(spectra: Path, physics: PhysicsSettings) -> None:
    """Tables and figures of the comparison with the real spectra."""
    train = simulated(N_TRAIN, SEED, physics)
    real, _, _ = ingest(spectra, EDITION, "test")
    sets = {"real spectra": real, "simulated, real systems": same_systems(real, train, physics)}
    found = {name: compare_sets(train, planets, seed=SEED) for name, planets in sets.items()}
    rows = [drift.summary.assign(test=name) for name, drift in found.items()]
    table = pd.concat(rows)[["test", *rows[0].columns[:-1]]]
    table["words"] = pd.concat(rows)["words"]
    table.to_csv(DOCS / "drift.csv", index=False, float_format="%.4g")
    drift = found["real spectra"]
    bins = drift.bins.assign(
        **{f"noise_{name}": drift.noise_bins[name] for name in ("shift", "median_ratio")}
    )
    bins.to_csv(DOCS / "drift_bins.csv", index=False, float_format="%.4g")
    for name, one in found.items():
        print(name, *one.notes, *(f"{v.kind}: {v.words}" for v in one.verdicts), sep="\n  ")
    print(drift.parameters.round(3).to_string())
    draw(drift)


def draw(drift: Drift) -> None:
    """The figures of the real spectra."""
    separation = drift.separation
    figures = {
        "bins": drift_by_bin(drift.bins, drift.noise_bins),
        "classifier": drift_scores(separation.score, separation.is_test, separation.auroc),
        "parameters": drift_of_parameters(drift.parameters),
    }
    for name, figure in figures.items():
        figure.savefig(DOCS / "figures" / f"drift_{name}.png", dpi=90)


Shift = Callable[[xr.Dataset, np.random.Generator], xr.Dataset]


def deeper(errors: float, low_um: float, high_um: float) -> Shift:
    """Depths of the bins in a range shifted by a multiple of each planet's error bar."""

    def shift(planets: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        wavelength = planets["wavelength"]
        inside = (wavelength >= low_um) & (wavelength <= high_um)
        moved = planets["transit_depth"] + errors * inside * planets["transit_depth_error"]
        return planets.assign(transit_depth=moved)

    return shift


def larger_errors(planets: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Error bars, and the noise, 1.2 times as large."""
    return planets.assign(transit_depth_error=1.2 * planets["transit_depth_error"])


def underestimated(planets: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """Noise 1.5 times as large as the error bars say."""
    error = planets["transit_depth_error"]
    noise = 1.5 * error * rng.standard_normal(error.shape)
    noisy = planets.assign(transit_depth=planets["transit_depth"] + noise)
    return noisy.assign_attrs(noise="included")


def other_labels(planets: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """log_H2O 0.3 dex higher at the same spectra."""
    column = planets["target_quantity"].values == "H2O"
    return planets.assign(theta=planets["theta"] + 0.3 * column)


def without_methane(physics: PhysicsSettings) -> Shift:
    """Spectra without CH4, labelled with the amount that the others would hold."""

    def shift(planets: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        theta = planets["theta"].values.copy()
        theta[:, target_index(planets, "CH4")] = -12
        return respectred(planets, theta, physics)

    return shift


def nothing(planets: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
    """The planets as they are."""
    return planets


def cases(physics: PhysicsSettings) -> dict[str, tuple[Shift, bool, int]]:
    """By name: what is done to the test set, whether it has larger stars only, repeats."""
    return {
        "none": (nothing, False, 400),
        "larger stars only": (nothing, True, 40),
        "0.95 um deeper by 3 error bars": (deeper(3, 0.9, 1.0), False, 40),
        "all bins deeper by 1 error bar": (deeper(1, 0, 10), False, 40),
        "below 1.95 um deeper by 1 error bar": (deeper(1, 0, SPECTROMETER_UM), False, 40),
        "below 1.95 um deeper by 3 error bars": (deeper(3, 0, SPECTROMETER_UM), False, 40),
        "error bars and noise x 1.2": (larger_errors, False, 40),
        "noise x 1.5, error bars as before": (underestimated, False, 40),
        "log_H2O labelled 0.3 dex higher": (other_labels, False, 40),
        "spectra without CH4": (without_methane(physics), False, 40),
    }


def one_repeat(pool: xr.Dataset, shift: Shift, large_stars: bool, seed: int) -> list[dict]:
    """Verdicts on two small sets drawn from the pool, the second one shifted."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(pool.sizes["planet"])
    reference, others = order[:N_SMALL], order[N_SMALL:]
    if large_stars:
        # Chosen by what the spectrum's context holds, so that theta given it is the same.
        radius = auxiliary_values(pool, "star_radius_m")[others]
        others = others[radius > np.quantile(radius, 0.3)]
    drift = compare_sets(
        pool.isel(planet=np.sort(reference)),
        shift(pool.isel(planet=np.sort(others[:N_SMALL])), rng),
        seed=seed,
        settings=SMALL,
    )
    return [{"kind": v.kind, "p_value": v.p_value, "effect": v.effect} for v in drift.verdicts]


def count_alarms(physics: PhysicsSettings) -> None:
    """Shares of repeats with an alarm, by case and test."""
    pool = simulated(N_POOL, SEED + 1, physics)
    tables = []
    for name, (shift, large_stars, repeats) in cases(physics).items():
        path = RESULTS / f"{derived_seed(SEED, name)}.csv"
        table = pd.read_csv(path) if path.is_file() else pd.DataFrame()
        done = 0 if table.empty else int(table["repeat"].max()) + 1
        for repeat in range(done, repeats):
            seed = derived_seed(SEED, name, repeat)
            rows = pd.DataFrame(one_repeat(pool, shift, large_stars, seed))
            table = pd.concat([table, rows.assign(repeat=repeat)], ignore_index=True)
            write_table(table, path)
        groups = table.groupby("kind", sort=False)
        rates = {f"alarms_{level:g}": groups["p_value"].agg(lambda p, a=level: (p <= a).mean())
                 for level in LEVELS}  # fmt: skip
        found = pd.DataFrame(rates | {"median_effect": groups["effect"].median()}).reset_index()
        tables.append(found.assign(case=name, repeats=groups.size().to_numpy()))
        print(name, found.to_string(), sep="\n", flush=True)
    columns = ["case", "kind", "repeats", *rates, "median_effect"]
    pd.concat(tables)[columns].to_csv(DOCS / "drift_power.csv", index=False, float_format="%.3g")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spectra", type=Path)
    parser.add_argument("--only", choices=("real", "power"), help="one of the two parts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    physics = PhysicsSettings(str(ensure_builtin_opacities(RESULTS / "opacities")))
    if arguments.only != "power":
        report_real(arguments.spectra, physics)
    if arguments.only != "real":
        count_alarms(physics)


if __name__ == "__main__":
    main()
