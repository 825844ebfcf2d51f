"""The forward model beside TauREx 3 with numba, on the same tables in one run: speed and agreement.

Every configuration runs in a process of its own, whose peak memory is its own. TauREx keeps one
model and is given new parameters, as its users do in a retrieval. Differences are to TauREx on the
native grid for the reference mode, and to TauREx's own binning in the 52 bins for the fast mode;
there the ridge is judged on planets that it has not seen. Writes ``benchmarks/forward_model.csv``.
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
    taurex_binned,
    taurex_depth,
    taurex_model,
    use_opacities,
)

from arielflow.core.schema import open_dataset
from arielflow.data.forward_models import build_edition_nodes, nodes_file
from arielflow.editions import get_edition
from arielflow.models.emulator import Emulator
from arielflow.physics.atmosphere import Pressures
from arielflow.physics.builtin_opacity import generate
from arielflow.physics.forward import PhysicsSettings, fast_or_reference, transmission_model
from arielflow.physics.opacity_formats.taurex import write_taurex_hdf5

ROOT = Path(__file__).parents[1]
EDITION = get_edition("adc2023")
BINS = EDITION.wavelength_um, EDITION.wavelength_width_um
BATCH_SIZES = {300: (1, 4, 16, 64, 256), 1000: (1, 4, 16, 64, 256), 15000: (1, 4)}
THREADS = (1, 2)
LAYERS = (50, 200)
N_PEER = {300: 20, 1000: 20, 15000: 6}
SECONDS = 2.0
COLUMNS = ("configuration", "spectra_per_s", "ratio_to_taurex", "max_ppm", "rms_ppm", "peak_mb")


def settings(resolving_power: int) -> PhysicsSettings:
    """Built-in tables at a resolving power, made once (minutes at R = 15,000)."""
    folder = ROOT / "results" / "benchmark_opacities" / f"R{resolving_power}"
    for molecule in MOLECULES:
        path = folder / f"{molecule}.h5"
        if not path.is_file():
            write_taurex_hdf5(path, generate(molecule, resolving_power=resolving_power))
    return PhysicsSettings(str(folder))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def time_taurex(physics: PhysicsSettings, threads: int, number: int) -> tuple[float, float]:
    """Spectra a second and peak memory [MB] of TauREx."""
    numba.set_num_threads(threads)
    use_opacities(physics.opacities)
    planets = random_planets(number + 1)
    radius = planets[0, 0]
    model = taurex_model(planets[0])
    model.model()  # compiles, and reads the tables
    started = perf_counter()
    for count, (_, _, temperature, _, *log_mixing_ratio) in enumerate(planets[1:]):
        # Near the first planet's own radius: with its mass the atmosphere stays bound.
        model["planet_radius"], model["T"] = radius * (1 + 0.001 * count), temperature
        for molecule, value in zip(MOLECULES, log_mixing_ratio, strict=True):
            model[molecule] = 10**value
        model.model()
    return number / (perf_counter() - started), peak_mb()


def time_ours(
    physics: PhysicsSettings,
    threads: int,
    batch_size: int | None,
    dtype: str,
    n_layers: int,
    device: str,
) -> tuple[float, float]:
    """Spectra a second, binned, and peak memory [MB]; the fast mode if there are nodes."""
    torch.set_num_threads(threads)
    if physics.nodes:
        model = fast_or_reference(MOLECULES, physics, *BINS, device=device)
    else:
        model = transmission_model(
            MOLECULES,
            physics,
            *BINS,
            dtype=getattr(torch, dtype),
            pressures=Pressures(n_layers),
            device=device,
        )
        model.batch_size = batch_size or model.batch_size
    arguments = model_arguments(random_planets(max(64, batch_size or 512)))
    with torch.no_grad():
        model(*(argument[: batch_size or 64] for argument in arguments))
        started, done = perf_counter(), 0
        while perf_counter() - started < SECONDS:
            model(*arguments).sum().item()
            done += len(arguments[0])
        return done / (perf_counter() - started), peak_mb()


def difference_ppm(physics: PhysicsSettings, dtype: str, number: int) -> tuple[float, float]:
    """Largest and rms difference to TauREx [ppm]: native, or in the bins for the fast mode."""
    use_opacities(physics.opacities)
    planets = random_planets(number)
    expected = np.stack([taurex_depth(planet) for planet in planets])
    model = transmission_model(MOLECULES, physics, *BINS, dtype=getattr(torch, dtype))
    if physics.nodes:
        # TauREx's grid is the whole table's, ours what the bins need of it.
        grid = taurex_model(planets[0]).nativeWavenumberGrid
        expected = taurex_binned(grid, expected, *BINS)
        found = fast_or_reference(MOLECULES, physics, *BINS)(*model_arguments(planets))
    else:
        grid = taurex_model(planets[0]).nativeWavenumberGrid
        inside = np.isin(grid, model.wavenumber_cm1)
        expected = expected[:, inside]
        found = model(*model_arguments(planets), native=True)
    # An extreme planet whose atmosphere runs away has no spectrum in either.
    bound = np.isfinite(expected).all(axis=1) & np.isfinite(found.numpy()).all(axis=1)
    error = 1e6 * (found.numpy() - expected)[bound]
    return float(np.abs(error).max()), float(np.sqrt(np.mean(error**2)))


def surrogate_row() -> tuple | None:
    """The trained surrogate of the default run, if there is one, on the run's own test planets."""
    folder = ROOT / "results" / "default"
    if not (folder / "surrogate" / "report.json").is_file():
        print("no surrogate row: make results/default/surrogate/report.json first")
        return None
    torch.set_num_threads(max(THREADS))
    planets = open_dataset(folder / "ingested" / "test.nc")
    surrogate = Emulator.load(folder / "surrogate" / "model")
    rows = np.resize(np.arange(planets.sizes["planet"]), 512)
    forward = surrogate.forward_model(planets)
    theta = open_dataset(folder / "truth" / "truth.nc")["theta"].values
    error = 1e6 * (forward.spectra(rows, theta[rows]) - planets["transit_depth"].values[rows])
    started, done = perf_counter(), 0
    while perf_counter() - started < SECONDS:
        forward.spectra(rows, theta[rows])
        done += len(rows)
    speed = done / (perf_counter() - started)
    ppm = float(np.abs(error).max()), float(np.sqrt(np.mean(error**2)))
    return f"surrogate, 52 bins, {max(THREADS)} threads", speed, ppm, peak_mb()


def make_nodes(physics: PhysicsSettings) -> PhysicsSettings:
    """Settings of the fast mode on the same tables; the nodes are made once."""
    path = nodes_file(EDITION, physics)
    fast = PhysicsSettings(physics.opacities, nodes=str(path))
    if not path.is_file():
        torch.set_num_threads(max(THREADS))
        build_edition_nodes(EDITION, fast, seed=2026)
    return fast


def alone(function, *arguments):
    """The result of a function run in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def rows_of(resolving_power: int, threads: int, differences: dict) -> list[tuple]:
    """Rows of one grid and number of threads; the ratios are to TauREx on the same."""
    physics = alone(settings, resolving_power)
    peer, memory = alone(time_taurex, physics, threads, N_PEER[resolving_power])
    name = f"R={resolving_power}, {threads} thread{'s' * (threads > 1)}"
    rows = [(f"TauREx + numba, {name}", peer, 1.0, 0.0, 0.0, memory)]
    cases = [("float32", size, 100, "cpu") for size in BATCH_SIZES[resolving_power]]
    cases += [("float32", None, 100, "cpu"), ("float64", None, 100, "cpu")]
    cases += [("float32", None, n_layers, "cpu") for n_layers in LAYERS]
    if torch.cuda.is_available():
        cases += [("float32", size, 100, "cuda") for size in (16, 64)]
    for dtype, size, n_layers, device in cases:
        speed, memory = alone(time_ours, physics, threads, size, dtype, n_layers, device)
        label = f"reference {dtype}, batch {size or 'by cache'}, {n_layers} layers, {name}"
        label += f", {device}" * (device != "cpu")
        ppm = differences[resolving_power, dtype] if n_layers == 100 else (np.nan, np.nan)
        rows.append((label, speed, speed / peer, *ppm, memory))
        print(f"{label}: {speed:.0f} spectra/s, {speed / peer:.0f} x TauREx", flush=True)
    fast = alone(make_nodes, physics)
    speed, memory = alone(time_ours, fast, threads, None, "float32", 100, "cpu")
    label = f"fast, {name}"
    rows.append((label, speed, speed / peer, *differences[resolving_power, "fast"], memory))
    print(f"{label}: {speed:.0f} spectra/s, {speed / peer:.0f} x TauREx", flush=True)
    return rows


def main() -> None:
    differences = {}
    for power, number in N_PEER.items():
        physics = alone(settings, power)
        for dtype in ("float32", "float64"):
            differences[power, dtype] = alone(difference_ppm, physics, dtype, number)
        fast = alone(make_nodes, physics)
        differences[power, "fast"] = alone(difference_ppm, fast, "float32", 10 * number)
    rows = []
    for power in N_PEER:
        for threads in THREADS:
            rows += rows_of(power, threads, differences)
            table = pd.DataFrame(rows, columns=COLUMNS)
            table.to_csv(
                ROOT / "benchmarks" / "forward_model.csv", index=False, float_format="%.4g"
            )
    if found := alone(surrogate_row):
        label, speed, ppm, memory = found
        peer = next(
            row[1] for row in rows if row[0] == f"TauREx + numba, R=300, {max(THREADS)} threads"
        )
        rows.append((label, speed, speed / peer, *ppm, memory))
        table = pd.DataFrame(rows, columns=COLUMNS)
        table.to_csv(ROOT / "benchmarks" / "forward_model.csv", index=False, float_format="%.4g")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
