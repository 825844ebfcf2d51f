"""Residual tests of the real spectra of 2022 by the built-in forward model: ``docs/trust.md``.

``python benchmarks/trust_real.py SPECTRA`` fits every spectrum, with one draw of its noise, and
as many fresh simulated planets as ``--calibration`` says, and counts how many would be called red
and by which patterns. Writes ``docs/trust_real.csv`` and a figure; fits are kept in ``--state``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from arielflow.core.schema import is_usable
from arielflow.data.forward_models import edition_model
from arielflow.data.ingest import ingest
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.trust.residuals import refit, residual_tests
from arielflow.evaluation.trust.thresholds import Reference
from arielflow.models.features import noisy_copies
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import ForwardModel, PhysicsSettings
from arielflow.plotting import residuals_by_wavelength
from arielflow.retrieval.best_fit import maximum_a_posteriori

ROOT = Path(__file__).parents[1]
SEED = 2026


def start_of(forward: ForwardModel, noisy: xr.Dataset) -> np.ndarray:
    """Where fits start: simulated planets at the truth, so that none ends in a local minimum."""
    if "theta" in noisy:
        return noisy["theta"].values
    start = maximum_a_posteriori(forward, noisy, seed=SEED)["theta"].values
    middle = 0.5 * (noisy["prior_low"].values + noisy["prior_high"].values)
    return np.where(np.isfinite(start), start, middle)


def tested(planets: xr.Dataset, model: object, path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """Tests and residuals (planet, wavelength) of planets, noise added; from a file if there."""
    noisy = noisy_copies(planets, SEED)
    forward = ForwardModel(model, noisy)
    if not path.is_file():
        found = refit(forward, noisy, start_of(forward, noisy))
        path.parent.mkdir(parents=True, exist_ok=True)
        tests = residual_tests(found, noisy["wavelength"].values)
        xr.Dataset(
            {
                "residual": (("planet", "wavelength"), found.residual),
                **{name: ("planet", tests[name].to_numpy()) for name in tests},
            }
        ).to_netcdf(path, engine="h5netcdf")
    with xr.open_dataset(path, engine="h5netcdf") as kept:
        kept.load()
    columns = [name for name in kept if name != "residual"]
    return pd.DataFrame({name: kept[name].values for name in columns}), kept["residual"].values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("spectra", type=Path)
    parser.add_argument("--calibration", type=int, default=5000)
    parser.add_argument("--state", type=Path, default=ROOT / "results" / "trust_real")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    edition = get_edition("adc2022")
    physics = PhysicsSettings(str(ensure_builtin_opacities(arguments.state / "opacities")))
    model = edition_model(edition, physics)
    real, _, _ = ingest(arguments.spectra, edition, "test")
    real = real.isel(planet=is_usable(real))
    fresh = simulate_planets(
        edition,
        arguments.calibration,
        seed=SEED,
        split="calibration",
        prior=real.attrs["prior"],
        population="matched",
        physics=physics,
    )
    fresh = fresh.isel(planet=is_usable(fresh))
    usual, _ = tested(fresh, model, arguments.state / "simulated.nc")
    reference = Reference(usual)
    tests, residual = tested(real, model, arguments.state / "real.nc")
    verdicts = reference.verdicts(reference.probabilities(tests))
    strongest = tests[["pattern_name", "pattern_sigma"]].assign(verdict=verdicts)
    strongest["sense"] = np.where(strongest["pattern_sigma"] > 0, "deeper", "shallower")
    red = strongest[strongest["verdict"] == "red"]
    table = red.groupby(["pattern_name", "sense"]).size().sort_values(ascending=False)
    table.rename("planets").reset_index().to_csv(ROOT / "docs" / "trust_real.csv", index=False)
    shares = {name: f"{np.mean(verdicts == name):.3f}" for name in ("green", "amber", "red")}
    print(len(tests), shares, "median chi2", tests["chi2"].median())
    print(table.head(12).to_string())
    error = real["transit_depth_error"].values
    figure = residuals_by_wavelength(
        real["wavelength"].values, {"built-in opacities": -residual * error}, error
    )
    figure.savefig(ROOT / "docs" / "figures" / "trust_real.png", dpi=90)


if __name__ == "__main__":
    main()
