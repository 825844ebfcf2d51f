"""Time of the official 2023 posterior score of 50 planets beside SciPy's two-sample test.

Both score 5,000 weighted samples per planet against as many true ones. The peer does what the
official code does: it resamples to equal weight, then calls ``scipy.stats.ks_2samp`` per target.
"""

from __future__ import annotations

from time import process_time

import numpy as np
from scipy.stats import ks_2samp

from arielflow.editions import get_edition
from arielflow.evaluation.official import posterior_scores

PLANETS, SAMPLES, SEED = 50, 5_000, 0
ROUNDS = 5


def peer(predictions: list, truths: list, rng: np.random.Generator) -> np.ndarray:
    """Score of every planet by SciPy's test, shape (planet,)."""
    scores = []
    for pair in zip(predictions, truths, strict=True):
        equal = [
            samples[rng.choice(len(samples), len(samples), p=weight / weight.sum())]
            for samples, weight in pair
        ]
        ks = [ks_2samp(*columns).statistic for columns in zip(*(s.T for s in equal), strict=True)]
        scores.append(1000 * np.mean(1 - np.array(ks)))
    return np.array(scores)


def main() -> None:
    """Print the smallest processor time of either, and their ratio."""
    edition = get_edition("adc2023")
    low, high = np.array([target.score_bounds for target in edition.targets]).T
    rng = np.random.default_rng(SEED)
    planets = [
        (
            rng.normal((low + high) / 2, (high - low) / 20, (SAMPLES, len(low))),
            rng.random(SAMPLES),
        )
        for _ in range(2 * PLANETS)
    ]
    pair = planets[:PLANETS], planets[PLANETS:]
    times: dict[str, list[float]] = {"arielflow": [], "SciPy": []}
    for _ in range(ROUNDS):
        for name in times:
            began = process_time()
            if name == "arielflow":
                ours = posterior_scores(*pair, low, high, seed=SEED)[0]
            else:
                theirs = peer(*pair, rng)
            times[name].append(process_time() - began)
    least = {name: min(taken) for name, taken in times.items()}
    print(f"mean score: arielflow {ours.mean():.2f}, SciPy {theirs.mean():.2f}")
    for name, seconds in least.items():
        print(f"{name:<10}{seconds:.2f} s for {PLANETS} planets of {SAMPLES} samples")
    print(f"SciPy takes {least['SciPy'] / least['arielflow']:.2f} times as long")


if __name__ == "__main__":
    main()
