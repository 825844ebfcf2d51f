"""Importance sampling beside nested sampling on simulated spectra of three instruments.

    python benchmarks/own_spectra.py --planets 6

Cloudy planets with Guillot's temperature profile, drawn from the prior that they are retrieved
with, in bins like those of WFC3, NIRSpec PRISM and NIRISS SOSS. The KS score is the challenge's
1000 (1 - mean KS distance) over the parameters; two nested samplings of as many effective samples
have about 970. Writes a table of its own name beside this file; planets that it holds are not
retrieved again.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import torch
from scipy.stats import ks_2samp
from threadpoolctl import threadpool_limits

from arielflow.core.seeds import derived_seed
from arielflow.data.description.read import describe_planet
from arielflow.data.spectra.spectrum import ObservedSpectrum
from arielflow.retrieval.spectra.methods import SpectrumResult, retrieve_spectrum
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


def ks_score(first: SpectrumResult, second: SpectrumResult) -> float:
    """1000 (1 - mean KS distance) over the parameters."""
    columns = zip(first.samples.T, second.samples.T, strict=True)
    return 1000 * (1 - float(np.mean([ks_2samp(a, b).statistic for a, b in columns])))


def compared(grid: str, number: int) -> dict[str, object]:
    """One row of the table."""
    model, found, taken = simulated(grid, number), {}, {}
    for method in ("importance", "nested"):
        started = process_time()
        found[method] = retrieve_spectrum(model, method, seed=SEED)
        taken[method] = process_time() - started
    importance, nested = found["importance"], found["nested"]
    return {
        "grid": grid,
        "planet": number,
        "method": importance.method,
        "ks_score": round(ks_score(importance, nested), 1),
        "log_evidence": round(importance.log_evidence, 2),
        "log_evidence_nested": round(nested.log_evidence, 2),
        "efficiency": round(importance.sampling_efficiency, 3),
        "pareto_shape": round(importance.pareto_shape, 2),
        "effective_samples": round(importance.effective_samples),
        "spectra": importance.spectra,
        "spectra_nested": nested.spectra,
        "processor_s": round(taken["importance"], 1),
        "processor_s_nested": round(taken["nested"], 1),
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
