"""Built-in opacities: pseudo-lines from band centres, intensities and rotational constants.

Every band of ``molecular_bands`` becomes the P, Q and R branches of a rigid rotor (Herzberg 1945),
populated by Boltzmann statistics. Molecules already vibrating absorb redward: each band is spread
over the harmonic thermal distribution of every mode, displaced by that mode's anharmonic shift, so
that bands widen and windows fill in hot gas. Lines have Lorentz wings of half-width
broadening * (P / 1 bar) * (296 K / T)^0.6, cut off 100 cm-1 away. These tables
stand in for real line lists where none is on disk; sampling them is their own truth.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
from scipy.signal import fftconvolve

from arielflow.core.code import code_digest
from arielflow.core.errors import ArielflowError
from arielflow.physics.binning import grid_edges
from arielflow.physics.molecular_bands import MOLECULES, Band, Molecule
from arielflow.physics.opacity import OpacityTable
from arielflow.physics.opacity_formats.taurex import write_taurex_hdf5

RESOLVING_POWER = 300.0
WAVELENGTH_RANGE_UM = (0.49, 8.05)
TEMPERATURE_K = np.arange(200.0, 2601.0, 200.0)
PRESSURE_PA = np.array([1e0, 1e2, 1e3, 1e4, 1e5, 1e6])

_HC_OVER_K_CM_K = 1.438776877
_REFERENCE_TEMPERATURE_K = 296.0
_REFERENCE_PRESSURE_PA = 1e5
_BROADENING_EXPONENT = 0.6
_WING_CM1 = 100.0
_COARSEST_STEP_CM1 = 1.0
_STEPS_PER_CELL = 4
_FINE_MARGIN_CM1 = 400.0
_LARGEST_SHIFT_CM1 = 2000.0
_MAX_J = 70
_CONTINUUM_FLOOR_CM2 = 1e-40


def native_grid_cm1(
    resolving_power: float = RESOLVING_POWER,
    wavelength_range_um: tuple[float, float] = WAVELENGTH_RANGE_UM,
) -> np.ndarray:
    """Ascending wavenumbers [cm-1] of constant resolving power."""
    low, high = 1e4 / wavelength_range_um[1], 1e4 / wavelength_range_um[0]
    n_points = int(np.ceil(np.log(high / low) * resolving_power)) + 1
    return np.geomspace(low, high, n_points)


def _fine_step_cm1(native: np.ndarray) -> float:
    """Step of the grid that lines are put on: a quarter of the native one at least, so that tables
    of high resolving power hold resolved lines."""
    return min(_COARSEST_STEP_CM1, float(native[1] - native[0]) / _STEPS_PER_CELL)


def _rotor(molecule: Molecule, band: Band, temperature_k: float) -> tuple[np.ndarray, np.ndarray]:
    """Line offsets [cm-1] from the band centre and relative strengths, summing to one.

    Symmetric tops have E = B J(J+1) + (A-B) K^2; Hoenl-London factors of parallel and
    perpendicular bands as in Herzberg (1945, p. 422 and 426).
    """
    rotation, top = molecule.rotation_cm1
    upper_rotation = rotation * (1 - molecule.stretch * band.quanta)
    j = np.arange(_MAX_J + 1.0)[:, None]
    k = np.arange(_MAX_J + 1.0)[None, :] if molecule.shape == "symmetric" else np.zeros((1, 1))
    energy = rotation * j * (j + 1) + top * k**2
    degeneracy = (2 * j + 1) ** (2 if molecule.shape == "spherical" else 1)
    degeneracy = degeneracy * np.where(k > 0, 2, 1) * (k <= j)
    population = degeneracy * np.exp(-_HC_OVER_K_CM_K * energy / temperature_k)

    lines, strengths = [], []
    for delta_k in (-1, 1) if band.perpendicular and molecule.shape == "symmetric" else (0,):
        k_shift = top * (2 * k * delta_k + delta_k**2)
        for delta_j in (-1, 0, 1):
            upper = j + delta_j
            offset = upper_rotation * upper * (upper + 1) - rotation * j * (j + 1) + k_shift
            factor = _line_factor(molecule, band, j, k, delta_j, delta_k)
            factor = np.where((upper >= 0) & (np.abs(k + delta_k) <= upper), factor, 0)
            lines.append(offset.ravel())
            strengths.append((population * factor).ravel())
    offsets, weights = np.concatenate(lines), np.concatenate(strengths)
    keep = weights > 1e-12 * weights.max()
    return offsets[keep], weights[keep] / weights[keep].sum()


def _line_factor(molecule, band, j, k, delta_j, delta_k) -> np.ndarray:
    """Strength of a branch relative to the lower level's population."""
    total = 2 * j + 1
    if molecule.shape != "symmetric":
        has_q = molecule.shape == "spherical" or band.perpendicular
        q_branch = np.full_like(j, 0.5 if has_q else 0.0)
        if molecule.shape == "spherical":
            q_branch = np.full_like(j, 1 / 3)
        rest = 1 - q_branch
        return {-1: rest * j / total, 0: q_branch, 1: rest * (j + 1) / total}[delta_j] + 0 * k
    safe = np.maximum(j, 1)
    if delta_k == 0:
        p_branch = (j**2 - k**2) / (safe * total)
        q_branch = k**2 / (safe * (j + 1))
        r_branch = ((j + 1) ** 2 - k**2) / ((j + 1) * total)
    else:
        signed = k * delta_k
        p_branch = (j - 1 - signed) * (j - signed) / (2 * safe * total)
        q_branch = (j + 1 + signed) * (j - signed) / (2 * safe * (j + 1))
        r_branch = (j + 2 + signed) * (j + 1 + signed) / (2 * (j + 1) * total)
    return np.clip({-1: p_branch, 0: q_branch, 1: r_branch}[delta_j], 0, None)


def _hot_shifts(
    molecule: Molecule, band: Band, temperature_k: float, step_cm1: float
) -> np.ndarray:
    """Probability of each red shift, in steps of the fine grid from zero, from thermal quanta."""
    n_steps = round(_LARGEST_SHIFT_CM1 / step_cm1)
    probability = np.zeros(n_steps)
    probability[0] = 1.0
    for (frequency, degeneracy), shift in zip(molecule.modes, molecule.shift_cm1, strict=True):
        ratio = np.exp(-_HC_OVER_K_CM_K * frequency / temperature_k)
        mode = np.zeros(n_steps)
        weight = (1 - ratio) ** degeneracy
        for quanta in range(60):
            position = quanta * shift * band.quanta / step_cm1
            # Half the shift is scattered: levels of one energy are displaced differently.
            low, high = int(0.5 * position), int(1.5 * position) + 1
            if high >= n_steps or weight < 1e-10:
                break
            mode[low:high] += weight / (high - low)
            weight *= ratio * (quanta + degeneracy) / (quanta + 1)
        probability = fftconvolve(probability, mode)[:n_steps]
    return np.clip(probability, 0, None)


def _band_profile(
    molecule: Molecule, band: Band, temperature_k: float, fine: np.ndarray
) -> np.ndarray:
    """Strength per fine cell [cm per molecule], summing to the band's at this temperature."""
    step = fine[1] - fine[0]
    offsets, weights = _rotor(molecule, band, temperature_k)
    shifts = _hot_shifts(molecule, band, temperature_k, step)
    first = fine[0]
    position = np.rint((band.centre_cm1 + offsets - first) / step).astype(int)
    # Lines beyond the grid still count through hot bands only within its margin.
    inside = (position >= 0) & (position < len(fine))
    cold = np.bincount(position[inside], weights[inside], minlength=len(fine))
    hot = fftconvolve(cold, shifts[::-1])[len(shifts) - 1 :][: len(fine)]
    colder = 1 / temperature_k - 1 / _REFERENCE_TEMPERATURE_K
    excited = np.exp(-_HC_OVER_K_CM_K * band.lower_energy_cm1 * colder)
    return band.intensity_cm * excited * np.clip(hot, 0, None)


def _lorentz_kernel(half_width_cm1: float, step_cm1: float) -> np.ndarray:
    """Lorentz profile integrated over fine cells out to the wing's cut-off."""
    n_cells = round(_WING_CM1 / step_cm1)
    edges = (np.arange(-n_cells, n_cells + 2) - 0.5) * step_cm1
    kernel = np.diff(np.arctan(edges / half_width_cm1)) / np.pi
    return kernel / kernel.sum()


def _rebin(fine: np.ndarray, values: np.ndarray, native: np.ndarray) -> np.ndarray:
    """Mean over the native cells of ``values``, strengths summed over each fine cell."""
    cumulative = np.concatenate([[0], np.cumsum(values)])
    half = 0.5 * (fine[1] - fine[0])
    fine_edges = np.append(fine - half, fine[-1] + half)
    edges = grid_edges(native)
    return np.diff(np.interp(edges, fine_edges, cumulative)) / np.diff(edges)


def generate(
    molecule: str,
    *,
    resolving_power: float = RESOLVING_POWER,
    wavelength_range_um: tuple[float, float] = WAVELENGTH_RANGE_UM,
    temperature_k: np.ndarray = TEMPERATURE_K,
    pressure_pa: np.ndarray = PRESSURE_PA,
) -> OpacityTable:
    """Compute the cross-section table of a molecule.

    Parameters
    ----------
    molecule
        One of ``molecular_bands.MOLECULES``.
    resolving_power, wavelength_range_um
        Resolving power and range of the native grid.
    temperature_k, pressure_pa
        Nodes of the table.

    Raises
    ------
    ArielflowError
        There are no built-in bands of the molecule.
    """
    if molecule not in MOLECULES:
        raise ArielflowError(
            f"{molecule}: no built-in opacity; choose {', '.join(MOLECULES)} or bring a table"
        )
    constants = MOLECULES[molecule]
    native = native_grid_cm1(resolving_power, wavelength_range_um)
    step = _fine_step_cm1(native)
    fine = np.arange(native[0] - _FINE_MARGIN_CM1, native[-1] + _FINE_MARGIN_CM1, step)
    table = np.empty((len(pressure_pa), len(temperature_k), len(native)), dtype=np.float32)
    for column, temperature in enumerate(temperature_k):
        strength = sum(_band_profile(constants, b, temperature, fine) for b in constants.bands)
        cooling = (_REFERENCE_TEMPERATURE_K / temperature) ** _BROADENING_EXPONENT
        for row, pressure in enumerate(pressure_pa):
            width = constants.broadening_cm1 * pressure / _REFERENCE_PRESSURE_PA * cooling
            broadened = fftconvolve(strength, _lorentz_kernel(width, step), mode="same")
            mean = _rebin(fine, np.clip(broadened, 0, None), native)
            table[row, column] = np.maximum(mean, _CONTINUUM_FLOOR_CM2)
    return OpacityTable(molecule, native, np.asarray(temperature_k), np.asarray(pressure_pa), table)


def builtin_version() -> str:
    """Digest of the source that shapes the tables; a cache with another one is remade."""
    return code_digest("arielflow.physics.builtin_opacity")


def ensure_builtin_opacities(folder: str | Path) -> Path:
    """Write the built-in tables to ``folder`` unless those of this version are there already."""
    folder = Path(folder)
    for name in MOLECULES:
        path = folder / f"{name}.h5"
        if not path.is_file() or _version_of(path) != builtin_version():
            write_taurex_hdf5(path, generate(name))
            with h5py.File(path, "r+") as file:
                file.attrs["arielflow_builtin"] = json.dumps({"version": builtin_version()})
    return folder


def _version_of(path: Path) -> str | None:
    try:
        with h5py.File(path) as file:
            return json.loads(file.attrs["arielflow_builtin"])["version"]
    except Exception:  # a damaged table is made again
        return None
