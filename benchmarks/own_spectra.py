"""Importance sampling beside nested sampling on simulated spectra of three instruments.

    python benchmarks/own_spectra.py --planets 6

Cloudy planets with Guillot's temperature profile, drawn from the prior that they are retrieved
with, in bins like those of WFC3, NIRSpec PRISM and NIRISS SOSS. The KS score is the challenge's
1000 (1 - mean KS distance) over the parameters; two nested samplings of as many effective samples
have about 970. Where importance sampling falls short ``arielflow retrieve`` turns to nested
sampling; here its own result is compared, and the table tells which are trusted. Writes a table of
its own name beside this file, whose planets are not retrieved again, and nested sampling's samples
under ``results/own_spectra``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from scipy.stats import ks_2samp
from threadpoolctl import threadpool_limits

from arielflow.core.seeds import derived_seed
from arielflow.data.description.read import describe_planet
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.retrieval.spectra.methods import SPECTRUM_FALLBACK, retrieve_spectrum, trusted
from arielflow.retrieval.spectra.model import SpectrumModel
from arielflow.retrieval.spectra.setup import prepared_model

FILE = Path(__file__).with_suffix(".csv")
SEED = 2026


def constant_resolution(low_um: float, high_um: float, power: float) -> np.ndarray:
    """Edges of bins [um]."""
    return np.geomspace(low_um, high_um, int(np.log(high_um / low_um) * power) + 1)


GRIDS = {  # edges [um], error [ppm]
    "WFC3-like": (np.linspace(1.11, 1.66, 14), 40.0),
    "PRISM-like": (constant_resolution(0.6, 5.3, 100), 80.0),
    "NIRISS-like": (constant_resolution(0.85, 2.8, 100), 60.0),
}
PLANET = {
    "name": "simulated",
    "star": {"radius": "0.9 Rsun"},
    "planet": {"mass": "0.4 Mjup", "radius": {"uniform": [1.0, 1.4], "unit": "Rjup"}},
    "atmosphere": {
        "gases": {
            "H2O": {"log_uniform": [1e-8, 1e-2]},
            "CO2": {"log_uniform": [1e-8, 1e-2]},
            "CH4": {"log_uniform": [1e-8, 1e-2]},
        },
        "temperature": {
            "guillot": {
                "irradiation": {"uniform": ["700 K", "1800 K"]},
                "internal": "100 K",
                "infrared_opacity": {"log_uniform": [1e-4, 1e-1], "unit": "m2/kg"},
                "visible_opacity": {"log_uniform": [1e-5, 1e-1], "unit": "m2/kg"},
            }
        },
        "clouds": {"top_pressure": {"log_uniform": [1e-4, 10], "unit": "bar"}},
    },
}


def simulated(grid: str, number: int) -> SpectrumModel:
    """The model of a simulated planet's noisy spectrum."""
    edges, error_ppm = GRIDS[grid]
    rng = np.random.default_rng(derived_seed(SEED, f"{grid}/{number}"))
    centre, width = 0.5 * (edges[1:] + edges[:-1]), np.diff(edges)
    error = np.full(len(centre), 1e-6 * error_ppm)
    instrument = np.full(len(centre), grid)
    flat = ObservedSpectrum(centre, width, error * 0 + 0.018, error, error, instrument)
    description = describe_planet(PLANET)
    model = prepared_model(description, flat)
    depth = np.array([np.nan])
    while not np.isfinite(depth).all():
        share = torch.as_tensor(rng.uniform(0.1, 0.9, (1, model.dimension)))
        depth = model.depths(model.sampled(share))[0].numpy()
    observed = depth + error * rng.standard_normal(len(depth))
    return prepared_model(
        description, ObservedSpectrum(centre, width, observed, error, error, instrument)
    )


class Nested(NamedTuple):
    """What nested sampling found, and what it took."""

    samples: np.ndarray
    log_evidence: float
    spectra: int
    processor_s: float


def nested_samples(model: SpectrumModel, name: str) -> Nested:
    """Of a model, kept in a file."""
    file = Path("results/own_spectra") / f"{name}.npz"
    if not file.is_file():
        started = process_time()
        found = retrieve_spectrum(model, "nested", seed=SEED)
        taken = process_time() - started
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = Nested(found.samples, found.log_evidence, found.spectra, taken)
        np.savez(file, **kept._asdict())
    with np.load(file) as stored:
        return Nested(**{key: stored[key] for key in Nested._fields})


def ks_score(first: np.ndarray, second: np.ndarray) -> float:
    """1000 (1 - mean KS distance) over the parameters."""
    columns = zip(first.T, second.T, strict=True)
    return 1000 * (1 - float(np.mean([ks_2samp(a, b).statistic for a, b in columns])))


def compared(grid: str, number: int) -> dict[str, object]:
    """One row of the table."""
    model = simulated(grid, number)
    nested = nested_samples(model, f"{grid}_{number}")
    started = process_time()
    importance = retrieve_spectrum(model, "importance", seed=SEED, fallback=None)
    taken = process_time() - started
    return {
        "grid": grid,
        "planet": number,
        "trusted": trusted(importance, SPECTRUM_FALLBACK),
        "ks_score": round(ks_score(importance.samples, nested.samples), 1),
        "log_evidence": round(importance.log_evidence, 2),
        "log_evidence_nested": round(float(nested.log_evidence), 2),
        "efficiency": round(importance.sampling_efficiency, 3),
        "pareto_shape": round(importance.pareto_shape, 2),
        "effective_samples": round(importance.effective_samples),
        "spectra": importance.spectra,
        "spectra_nested": int(nested.spectra),
        "processor_s": round(taken, 1),
        "processor_s_nested": round(float(nested.processor_s), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--planets", type=int, default=6, help="per instrument")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = pd.read_csv(FILE).to_dict("records") if FILE.is_file() else []
    for number in range(options.planets):
        for grid in GRIDS:
            if any(row["grid"] == grid and row["planet"] == number for row in rows):
                continue
            with threadpool_limits(1):
                rows.append(compared(grid, number))
            pd.DataFrame(rows).to_csv(FILE, index=False)
            print(rows[-1], flush=True)


if __name__ == "__main__":
    main()
