"""Corrections of cross-sections, put into tables and tried by refits: ``trust_real_refits.csv``.

``python benchmarks/trust_k_tables_refits.py SPECTRA KTABLES`` after ``trust_k_tables.py`` and with
its options. Every second real planet is fitted again with tables that the other planets' residuals
have corrected, cell by cell; ``trust_k_tables_report.py`` does the same to first order only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from k_table_spectra import CASES, Case, bins_of, tables_of
from trust_k_tables import Sets, asked, fitted, prepared
from trust_k_tables_report import DOCS, MOLECULES, as_refit, freed, rows_of, verdicts

from arielflow.evaluation.trust.absorbers import corrected, shared_distortion
from arielflow.evaluation.trust.residuals import refit
from arielflow.physics.cia import load_cia
from arielflow.physics.forward import ForwardModel
from arielflow.physics.opacity import OpacityTable, projection
from arielflow.physics.transmission import TransmissionModel


def times(table: OpacityTable, dex: np.ndarray, wavelength_um: np.ndarray) -> OpacityTable:
    """The table times 10^dex of the cell that is nearest in wavelength."""
    between = np.sqrt(wavelength_um[1:] * wavelength_um[:-1])
    factor = 10.0 ** dex[np.searchsorted(between, 1e4 / table.wavenumber_cm1)]
    if table.quadrature_weights is not None:
        factor = factor[:, None]
    values = np.asarray(table.cross_section_cm2)
    return replace(table, cross_section_cm2=(values * factor).astype(values.dtype))


def corrected_model(sets: Sets, case: Case, dex: dict[str, np.ndarray]) -> TransmissionModel:
    """The forward model of a case, the molecules' tables corrected by cell."""
    tables = tables_of(case, sets.bins, sets.folders)
    centre = sets.means["real"]["wavelength"].values
    tables = {n: times(t, dex[n], centre) if n in dex else t for n, t in tables.items()}
    to_bins = projection(tables["H2O"], *bins_of(sets.bins))
    return TransmissionModel(tables, sets.matrix @ to_bins, cia=load_cia(sets.folders["cia"]))


def tried(sets: Sets, name: str, molecules: Sequence[str]) -> dict[str, object]:
    """Chi2 and red planets of one half before and after the correction that the other asks for."""
    case, fits = CASES[name], fitted(sets, name)
    real, effects, reference = as_refit(fits.real), fits.effects(), fits.reference()
    chosen = np.array([effects[molecule] for molecule in molecules])
    own = np.arange(len(real.chi2)) % 2 == 0
    learnt = shared_distortion(freed(rows_of(real, ~own)), chosen[:, ~own])
    model = corrected_model(sets, case, dict(zip(molecules, learnt.dex, strict=True)))
    before = rows_of(real, own)
    linear = corrected(freed(before), chosen[:, own], learnt)
    planets = sets.planets(case, "real", model).sel(planet=fits.real["planet"].values[own])
    after = refit(ForwardModel(model, planets), planets, before.theta)
    row: dict[str, object] = {"fits": fits.label, "corrected": ", ".join(molecules)}
    row |= {"planets": int(own.sum()), "largest_dex": np.abs(learnt.dex).max()}
    for label, found in (("before", before), ("linear", linear), ("after", after)):
        row[f"chi2_{label}"] = np.median(found.chi2)
        row[f"red_{label}"] = np.mean(verdicts(found, fits, reference) == "red")
    print(row, flush=True)
    return row


def main() -> None:
    arguments = asked(__doc__)
    torch.set_num_threads(1)
    sets = prepared(arguments.spectra, arguments.ktables, arguments.calibration, arguments.state)
    rows = [
        tried(sets, name, molecules)
        for name in ("builtin_5_cia", "ktable_5_cia")
        for molecules in (("H2O",), MOLECULES)
    ]
    table = pd.DataFrame(rows)
    table.to_csv(DOCS / "trust_real_refits.csv", index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
