"""What a gradient costs beside a forward call, of all parameters at once: ours and TauREx's.

    python benchmarks/gradients.py

Ours is reverse mode (``backward`` of the log-likelihood of every planet of a batch) by radius,
temperature and the five log mixing ratios; the call without gradient is of the same planets, in the
same process. TauREx 3 has central differences: two calls per parameter, each timed as a call with
new parameters. That the gradients are right is tested. Writes ``benchmarks/gradients.csv``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import torch
from forward_model import BINS, alone, make_nodes, settings, time_taurex
from taurex_peer import MOLECULES, model_arguments, random_planets
from torch import Tensor

from arielflow.physics.forward import PhysicsSettings, fast_or_reference, transmission_model

FILE = Path(__file__).with_suffix(".csv")
RELATIVE_ERROR = 1e-4  # of the depths, which the likelihood is measured by
N_PLANETS, ROUNDS = 64, 9
N_PARAMETERS = 2 + len(MOLECULES)
RESOLVING_POWERS = (300, 1000)


def _log_likelihood(physics: PhysicsSettings) -> tuple[Callable[..., Tensor], list[Tensor]]:
    """A function of radius, temperature and log mixing ratios, and those of random planets."""
    if physics.nodes:
        model = fast_or_reference(MOLECULES, physics, *BINS)
    else:
        model = transmission_model(MOLECULES, physics, *BINS)
    arguments = model_arguments(random_planets(N_PLANETS))
    with torch.no_grad():
        data = model(*arguments)
    # An extreme planet whose atmosphere runs away has no spectrum.
    bound = data.isfinite().all(dim=1)
    data = data[bound]
    radius, mass, temperature, star, log_mixing_ratio = (part[bound] for part in arguments)

    def value(radius: Tensor, temperature: Tensor, log_mixing_ratio: Tensor) -> Tensor:
        depth = model(radius, mass, temperature, star, log_mixing_ratio)
        return -0.5 * ((depth - 1.0001 * data) / (RELATIVE_ERROR * data)).square().sum()

    return value, [radius, temperature, log_mixing_ratio]


def time_ours(physics: PhysicsSettings) -> tuple[float, float]:
    """Processor time [s] of a forward call and of value and gradient, per planet; medians."""
    torch.set_num_threads(1)
    value, parameters = _log_likelihood(physics)
    count = len(parameters[0])
    times: dict[str, list[float]] = {"forward": [], "gradient": []}
    for number in range(ROUNDS + 1):
        started = process_time()
        with torch.no_grad():
            value(*parameters).item()
        between = process_time()
        asked = [part.clone().requires_grad_() for part in parameters]
        value(*asked).backward()
        if number:  # the first round makes the caches
            times["forward"].append((between - started) / count)
            times["gradient"].append((process_time() - between) / count)
    forward, gradient = (float(np.median(part)) for part in times.values())
    return forward, gradient


def main() -> None:
    rows = []
    for power in RESOLVING_POWERS:
        reference = alone(settings, power)
        speed, _ = alone(time_taurex, reference, 1, 10)
        calls = 2 * N_PARAMETERS
        rows.append((f"TauREx, R={power}, central differences", 1e3 / speed, 1e3 * calls / speed))
        for name, physics in (("reference", reference), ("fast", alone(make_nodes, reference))):
            forward, gradient = alone(time_ours, physics)
            rows.append((f"{name}, R={power}, reverse mode", 1e3 * forward, 1e3 * gradient))
    table = pd.DataFrame(rows, columns=["configuration", "forward_ms", "gradient_ms"])
    table["gradient_to_forward"] = table["gradient_ms"] / table["forward_ms"]
    table.to_csv(FILE, index=False, float_format="%.4g")
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
