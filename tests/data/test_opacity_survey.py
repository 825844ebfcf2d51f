"""What a folder of opacities holds, and what a retrieval would miss."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from opacity_twins import (
    nemesis,
    write_nemesis,
    write_photochem,
    write_photochem_cia,
    write_pyratbay_cia,
)

from arielflow.core.errors import ArielflowError
from arielflow.data.opacity_survey import Asked, asked_range, survey
from arielflow.editions import get_edition


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, and a cache beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = tmp_path / "tables"
    found.mkdir()
    return found


def test_a_survey_tells_what_is_there_and_what_is_missing(folder: Path) -> None:
    for name in ("H2O", "CO2"):
        write_photochem(folder / f"{name}.h5", name)
    write_photochem_cia(folder / "H2-H2.h5")
    write_pyratbay_cia(folder / "CIA_H2He.dat")
    (folder / "README.md").write_text("notes")
    (folder / "more").mkdir()
    found = survey(folder, Asked(("H2O", "CO2"), asked_range(0.5, 8.0), cia=True))
    assert found.complete and found.absent == found.missing == []
    assert found.no_tables == ["README.md", "more/"]
    (entry,) = [entry for entry in found.entries if entry.gas == "H2O"]
    assert (entry.file, entry.kind, entry.format) == ("H2O.h5", "correlated-k", "photochem HDF5")
    assert entry.wavelength_um == pytest.approx((0.4, 10.0))
    ratio = (10 / 0.4) ** (1 / 30)
    assert entry.resolving_power == pytest.approx((ratio + 1) / 2 / (ratio - 1), rel=1e-3)
    assert entry.temperature_k == (100.0, 2000.0)
    assert entry.pressure_bar == pytest.approx((1e-6, 100.0))
    points = {"wavelengths": 30, "temperatures": 3, "pressures": 4, "quadrature": 2}
    assert entry.points == points
    assert any("100-2000 K" in doubt for doubt in entry.doubts)
    assert {entry.gas for entry in found.entries if entry.kind == "CIA"} == {"H2-H2", "H2-He"}


def test_a_survey_compares_with_an_editions_bins_and_temperatures(folder: Path) -> None:
    write_photochem(folder / "H2O.h5")
    edition = get_edition("adc2023")
    found = survey(folder, Asked((), (edition.wavelength_um, edition.wavelength_width_um), True))
    assert [words[:25] for words in found.missing] == ["H2O: covers 100-2000 K, u"]
    coarse = [doubt for doubt in found.entries[0].doubts if "wider than" in doubt]
    assert len(coarse) == 1 and "of 52 bins" in coarse[0]
    assert len(found.absent) == 2 and not found.complete


def test_a_survey_names_gaps_damage_and_what_does_not_fit_together(folder: Path) -> None:
    write_photochem(folder / "H2O.h5")
    write_nemesis(folder / "co.kta", nemesis(5))
    write_nemesis(folder / "CO2.kta", nemesis(5))
    write_nemesis(folder / "CH4.kta", nemesis(6))
    (folder / "CH4.kta").write_bytes((folder / "CH4.kta").read_bytes()[:100])
    write_photochem(folder / "water.h5")
    found = survey(folder, Asked(("H2O", "CO", "CH4"), asked_range(1.2, 4.0), cia=True))
    assert not found.complete
    words = "\n".join(found.faults)
    assert len(found.faults) == 3 and "CH4.kta" in words and "gas 5 is CO" in words
    assert "two tables of H2O, H2O.h5 and water.h5" in words
    words = "\n".join(found.missing)
    assert "CH4: no table" in words
    assert "CO: not all of 1.2-4 um is covered; the table covers 1.05-4.95 um" in words
    assert "with gaps at 1.45-3.15 um" in words
    assert "differ in their wavenumbers" in words
    assert "H2-H2: no collision-induced absorption" in words


@pytest.mark.parametrize("span", [(2, 1), (0, 1), (-1, 1), (1, 1), (1, np.inf), (np.nan, 1)])
def test_ranges_that_are_none_are_refused(span: tuple[float, float]) -> None:
    with pytest.raises(ArielflowError, match="expected two ascending positive numbers"):
        asked_range(*span)
