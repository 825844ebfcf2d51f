"""The forward model beside TauREx 3 with numba, on the same tables in one run: speed and agreement.

Every configuration runs in a process of its own, whose peak memory is its own. TauREx keeps one
model and is given new parameters, as its users do in a retrieval. Writes
``benchmarks/forward_model.csv``.
"""

from __future__ import annotations

import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter

import numba
import numpy as np
import pandas as pd
import torch
from taurex_peer import (
    MOLECULES,
    model_arguments,
    random_planets,
    taurex_depth,
    taurex_model,
    use_opacities,
)

from arielflow.editions.adc import WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
from arielflow.physics.builtin_opacity import generate
from arielflow.physics.forward import transmission_model
from arielflow.physics.opacity import write_taurex_hdf5

ROOT = Path(__file__).parents[1]
RESOLVING_POWERS = (300, 1000)
BATCH_SIZES, THREADS = (1, 4, 16, 64, 256), (1, 2)
N_PEER, N_OURS = 20, 512


def tables(resolving_power: int) -> Path:
    """Folder of built-in tables at a resolving power, made once."""
    folder = ROOT / "results" / "benchmark_opacities" / f"R{resolving_power}"
    for molecule in MOLECULES:
        path = folder / f"{molecule}.h5"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_taurex_hdf5(path, generate(molecule, resolving_power=resolving_power))
    return folder


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def time_taurex(folder: Path, threads: int) -> tuple[float, float]:
    """Spectra a second and peak memory [MB] of TauREx."""
    numba.set_num_threads(threads)
    use_opacities(folder)
    planets = random_planets(N_PEER + 1)
    radius = planets[0, 0]
    model = taurex_model(planets[0])
    model.model()  # compiles, and reads the tables
    started = perf_counter()
    for number, (_, _, temperature, _, *log_mixing_ratio) in enumerate(planets[1:]):
        # Near the first planet's own radius: with its mass the atmosphere stays bound.
        model["planet_radius"], model["T"] = radius * (1 + 0.001 * number), temperature
        for molecule, value in zip(MOLECULES, log_mixing_ratio, strict=True):
            model[molecule] = 10**value
        model.model()
    return N_PEER / (perf_counter() - started), peak_mb()


def time_ours(folder: Path, threads: int, batch_size: int, dtype: str) -> tuple[float, float]:
    """Spectra a second, binned, and peak memory [MB] of the reference mode."""
    torch.set_num_threads(threads)
    bins = WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
    model = transmission_model(MOLECULES, folder, *bins, dtype=getattr(torch, dtype))
    model.batch_size = batch_size
    arguments = model_arguments(random_planets(N_OURS))
    with torch.no_grad():
        model(*(a[:batch_size] for a in arguments))
        started = perf_counter()
        done = 0
        while perf_counter() - started < 3:
            model(*arguments) if batch_size > 1 else model(*(a[:64] for a in arguments))
            done += N_OURS if batch_size > 1 else 64
        return done / (perf_counter() - started), peak_mb()


def difference_ppm(folder: Path, dtype: str) -> tuple[float, float]:
    """Largest and rms difference to TauREx on the native grid [ppm]."""
    use_opacities(folder)
    planets = random_planets(N_PEER)
    bins = WAVELENGTH_UM, WAVELENGTH_WIDTH_UM
    model = transmission_model(MOLECULES, folder, *bins, dtype=getattr(torch, dtype))
    found = model(*model_arguments(planets), native=True).numpy()
    error = 1e6 * (found - np.stack([taurex_depth(planet) for planet in planets]))
    return float(np.abs(error).max()), float(np.sqrt(np.mean(error**2)))


def alone(function, *arguments):
    """The result of a function run in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    rows = []
    for resolving_power in RESOLVING_POWERS:
        folder = tables(resolving_power)
        ppm = {dtype: alone(difference_ppm, folder, dtype) for dtype in ("float32", "float64")}
        for threads in THREADS:
            peer, memory = alone(time_taurex, folder, threads)
            name = f"R={resolving_power}, {threads} thread{'s' * (threads > 1)}"
            rows.append((f"TauREx + numba, {name}", peer, 1.0, 0.0, 0.0, memory))
            ours = [("float32", size) for size in BATCH_SIZES] + [("float64", 16)]
            for dtype, size in ours:
                speed, memory = alone(time_ours, folder, threads, size, dtype)
                label = f"reference {dtype}, batch {size}, {name}"
                rows.append((label, speed, speed / peer, *ppm[dtype], memory))
                print(f"{label}: {speed:.0f} spectra/s, {speed / peer:.0f} x TauREx", flush=True)
    columns = ("configuration", "spectra_per_s", "ratio_to_taurex", "max_ppm", "rms_ppm", "peak_mb")
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv(ROOT / "benchmarks" / "forward_model.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
