"""The 13-bin Hubble WFC3 set of Márquez-Neila et al. 2018 (HELA), around WASP-12b."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from arielflow.core.array_files import read_npy
from arielflow.core.errors import ArielflowError
from arielflow.editions.base import Edition, Parameter, Range

FILES = ("testing.npy", "error_bars.npy", "wavelength.npy", "WASP12b.npy")
N_ROWS, N_TRAIN, SPLIT_SEED = 20001, 16000, 0
WAVELENGTH_UM = np.array(
    [
        "0.867",
        "0.925",
        "0.983",
        "1.041",
        "1.091",
        "1.147",
        "1.2165",
        "1.2855",
        "1.3545",
        "1.4235",
        "1.4925",
        "1.562",
        "1.6315",
    ],
    dtype=float,
)
PERCENT = 0.01
# Depth and error have 1.47 and 0.005 in the published set.
_DEPTHS_PERCENT, _ERRORS_PERCENT = (0.3, 8.0), (5e-4, 0.3)
_REMEDY = f"edition wfc3 expects {', '.join(FILES)} of HELA's example_dataset in the folder"


def read_wfc3(folder: Path, edition: Edition, split: str) -> tuple[xr.Dataset, None]:
    """Read one split of the HELA files: ``train`` (16,000), ``test`` (4,001) or ``observed``.

    The training half of the published set is not distributed, so the 20,001 rows of
    ``testing.npy`` are split by ``numpy.random.default_rng(0).permutation``. Transit depths are
    stored in percent, with noise included.

    Raises
    ------
    ArielflowError
        A file is missing, unreadable, of another shape or in another unit than percent, or the
        wavelengths differ.
    """
    n_bins, n_targets = len(WAVELENGTH_UM), len(edition.targets)

    def load(name: str, *shape: int) -> np.ndarray:
        return read_npy(Path(folder) / name, shape, _REMEDY)

    wavelength = load("wavelength.npy", n_bins)
    if not np.allclose(wavelength, WAVELENGTH_UM, rtol=1e-6):
        raise ArielflowError(
            f"{Path(folder) / 'wavelength.npy'}: another grid than the 13 WFC3 bins; check the file"
        )
    error = load("error_bars.npy", n_bins)
    _check_percent(Path(folder) / "error_bars.npy", error, _ERRORS_PERCENT)
    error *= PERCENT
    if split == "observed":
        depth = load("WASP12b.npy", 1, n_bins)
        _check_percent(Path(folder) / "WASP12b.npy", depth, _DEPTHS_PERCENT)
        theta, names = np.full((1, n_targets), np.nan), ["WASP-12b"]
    else:
        table = load("testing.npy", N_ROWS, n_bins + n_targets)
        _check_percent(Path(folder) / "testing.npy", table[:, :n_bins], _DEPTHS_PERCENT)
        order = np.random.default_rng(SPLIT_SEED).permutation(N_ROWS)
        rows = order[:N_TRAIN] if split == "train" else order[N_TRAIN:]
        depth, theta = table[rows, :n_bins], table[rows, n_bins:]
        names = [f"hela{row}" for row in rows]
    planets = xr.Dataset(
        {
            "transit_depth": (("planet", "wavelength"), depth * PERCENT),
            "transit_depth_error": (("planet", "wavelength"), np.tile(error, (len(names), 1))),
            "wavelength_width": ("wavelength", edition.wavelength_width_um),
            "auxiliary_value": (("planet", "auxiliary"), np.empty((len(names), 0))),
            "theta": (("planet", "target"), theta),
        },
        coords=edition.coordinates() | {"planet": names},
    )
    return planets, None


def _check_percent(path: Path, values: np.ndarray, span: tuple[float, float]) -> None:
    """Refuse values whose median cannot be a depth or error around WASP-12b in percent."""
    positive = values[np.isfinite(values) & (values > 0)]
    median = float(np.median(positive)) if positive.size else None
    if median is not None and not span[0] <= median <= span[1]:
        raise ArielflowError(
            f"{path}: median {median:.3g}, expected {span[0]:g} to {span[1]:g} percent; convert it"
        )


def _parameter(
    name: str,
    quantity: str,
    units: str,
    latex: str,
    low: float,
    high: float,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Parameter:
    priors = {"population": Range(low, high)}
    return Parameter(name, quantity, units, latex, (low, high), priors, limits=limits)


_MIXING = (-np.inf, 0.0)


EDITION = Edition(
    name="wfc3",
    title="WFC3 spectra around WASP-12b (HELA)",
    targets=(
        _parameter(
            "planet_temp", "planet_temperature", "K", r"$T_\mathrm{p}$", 500, 2900, (30.0, np.inf)
        ),
        _parameter("log_H2O", "H2O", "dex", r"$\log_{10} X_\mathrm{H_2O}$", -13, 0, _MIXING),
        _parameter("log_HCN", "HCN", "dex", r"$\log_{10} X_\mathrm{HCN}$", -13, 0, _MIXING),
        _parameter("log_NH3", "NH3", "dex", r"$\log_{10} X_\mathrm{NH_3}$", -13, 0, _MIXING),
        _parameter("log_kappa0", "cloud_opacity", "dex", r"$\log_{10} \kappa_0$", -13, 2),
    ),
    auxiliary=(),
    wavelength_um=WAVELENGTH_UM,
    wavelength_width_um=np.gradient(WAVELENGTH_UM),
    group_template="Planet_{planet_ID}",
    identifier_templates={},
    first_identifier=0,
    sample_limits=(100, 5000),
    noise="included",
    metrics=("r2",),
    retrieval_prior="population",
    tracks={},
    reader=read_wfc3,
)
