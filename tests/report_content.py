"""A small but complete run, made in memory, for the tests of figures and report."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from arielflow.core.schema import Quality, posterior_dataset, validate_planets
from arielflow.editions import get_edition
from arielflow.evaluation.calibration import Calibration, measure_calibration
from arielflow.exploration.components import explore
from arielflow.report import ReportContent

EDITION = get_edition("adc2023")
N_TARGETS = len(EDITION.targets)
HOSTILE_NAME = "<script>alert(1)</script>"


def make_planets(n: int, split: str, seed: int) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    wavelength, n_aux = EDITION.wavelength_um, len(EDITION.auxiliary)
    low = np.array([t.priors["wide"].low for t in EDITION.targets])
    high = np.array([t.priors["wide"].high for t in EDITION.targets])
    theta = low + (high - low) * rng.random((n, N_TARGETS))
    bands = np.sin(wavelength * rng.uniform(1, 3, (n, 1)) + rng.random((n, 1)))
    depth = rng.uniform(1e-3, 2e-2, (n, 1)) * (1 + 0.03 * bands)
    quality = np.zeros(n, int)
    quality[0] = Quality.DEPTH_OUT_OF_RANGE
    names = [f"{split}{i}" for i in range(n)]
    names[2] = HOSTILE_NAME
    return validate_planets(
        xr.Dataset(
            {
                "transit_depth": (("planet", "wavelength"), depth),
                "transit_depth_error": (("planet", "wavelength"), np.full(depth.shape, 3e-5)),
                "wavelength_width": ("wavelength", EDITION.wavelength_width_um),
                "auxiliary_value": (("planet", "auxiliary"), rng.lognormal(size=(n, n_aux))),
                "theta": (("planet", "target"), theta),
                "prior_low": (("planet", "target"), np.tile(low, (n, 1))),
                "prior_high": (("planet", "target"), np.tile(high, (n, 1))),
                "score_low": ("target", [t.score_bounds[0] for t in EDITION.targets]),
                "score_high": ("target", [t.score_bounds[1] for t in EDITION.targets]),
                "quality": ("planet", quality),
            },
            coords=EDITION.coordinates() | {"planet": names},
            attrs={"edition": EDITION.name, "split": split, "prior": "wide", "noise": "free"},
        )
    )


def make_posterior(planets: xr.Dataset, seed: int, n_samples: int = 300) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    low, high = planets["prior_low"].values, planets["prior_high"].values
    theta = planets["theta"].values[:, None] + 0.1 * (high - low)[:, None] * rng.normal(
        size=(planets.sizes["planet"], n_samples, N_TARGETS)
    )
    return posterior_dataset(planets, np.clip(theta, low[:, None], high[:, None]))


def make_importance(planets: xr.Dataset, seed: int) -> dict[str, xr.Dataset]:
    """The two rows of importance sampling; planet 3 has no draws that count, planet 4 few."""
    n = planets.sizes["planet"]
    failed, fallen = np.arange(n) == 3, np.isin(np.arange(n), (3, 4))
    by_planet = {
        "sampling_efficiency": np.where(fallen, 0.012, np.linspace(0.3, 0.8, n)),
        "pareto_shape": np.where(fallen, 0.9, 0.2),
        "likelihood_calls": np.full(n, 7100),
        "seconds": np.full(n, 12.5),
        "retrieved": (~failed).astype(np.int8),
    }
    by_planet["sampling_efficiency"][failed] = by_planet["pareto_shape"][failed] = np.nan
    values = {name: ("planet", value) for name, value in by_planet.items()}
    first = make_posterior(planets, seed).assign(values)
    second = first.assign(fallen_back=("planet", fallen.astype(np.int8)))
    return {"flow_importance": first, "flow_importance_fallback": second}


def make_calibration(planets: xr.Dataset, posterior: xr.Dataset) -> Calibration:
    return measure_calibration(
        list(zip(posterior["theta"].values, posterior["weight"].values, strict=True)),
        planets["theta"].values,
        low=planets["prior_low"].values,
        high=planets["prior_high"].values,
        target_names=EDITION.target_names,
        seed=0,
    )


def as_truth(posterior: xr.Dataset, theta: xr.DataArray) -> xr.Dataset:
    n, n_samples, n_targets = posterior["theta"].shape
    return xr.Dataset(
        {
            "row_size": ("planet", np.full(n, n_samples)),
            "trace": (("obs", "target"), posterior["theta"].values.reshape(-1, n_targets)),
            "weight": ("obs", posterior["weight"].values.ravel()),
            "theta": (("planet", "target"), theta.values),
        },
        coords=posterior.coords,
    )


def make_content() -> ReportContent:
    train, test = make_planets(80, "train", 1), make_planets(12, "public", 2)
    rows = [
        {"model": model, "final_score": value, "final_score_low": value - 9,
         "final_score_high": value + 8, "log_prob": 2.5 if model == "flow" else np.nan,
         "worst_planet": HOSTILE_NAME, "worst_planet_score": value - 300.25}
        for model, value in (("ceiling", 971.0), ("flow", 912.5), ("prior", 480.0))
    ]  # fmt: skip
    epochs = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [3, 2, 1.0], "valid_loss": [3, 2, 2]})
    importances = [
        {"target": t, "feature": str(w), "wavelength": w, "importance": 1 / 52}
        for t in EDITION.target_names
        for w in EDITION.wavelength_um
    ]
    importances.append(
        {"target": EDITION.target_names[0], "feature": "star_radius", "importance": 0.5}
    )
    posteriors = {"flow": make_posterior(test, 3), "mc_dropout": make_posterior(test, 4)}
    calibration = {model: make_calibration(test, value) for model, value in posteriors.items()}
    observed = test.isel(planet=[5])
    return ReportContent(
        title="A run",
        run="tiny",
        edition_title=EDITION.title,
        facts=[("seed", 1)],
        config={"models": ["flow"], "dataset": {"path": None}},
        chosen="flow",
        quality=pd.DataFrame([{"planet_ID": HOSTILE_NAME, "flags": "depth out of range"}]),
        train=train,
        test=test,
        observed=observed,
        exploration=explore(train, test, n_components=4, clusters=range(2, 5), seed=0),
        histories={"flow/0": epochs, "flow/1": epochs},
        leaderboard=pd.DataFrame(rows),
        per_target=pd.DataFrame([{"model": "flow"} | dict.fromkeys(EDITION.target_names, 0.123)]),
        calibration={model: found.table for model, found in calibration.items()},
        coverage={model: found.coverage for model, found in calibration.items()},
        posteriors=posteriors,
        observed_posteriors={"flow": make_posterior(observed, 5)},
        truth=as_truth(make_posterior(test, 6), test["theta"]),
        literature={
            str(observed["planet"].item()): [
                {"source": "Someone 2020", "quantity": "H2O", "value": -3.0, "error": 0.4}
            ]
        },
        importances=pd.DataFrame(importances),
        submission=pd.DataFrame(
            [
                {
                    "track": "regular",
                    "file": "flow.hdf5",
                    "bytes": 1234567,
                    "sha256": "ab" * 32,
                    "validity": "valid",
                }
            ]
        ),
        benchmarks=pd.DataFrame([{"job": "train/flow", "seconds": 75.2, "memory_mb": 812.0}]),
        manifest={"code": {"commit": "c0ffee", "dirty": False}, "packages": {"numpy": "2.4"}},
    )
