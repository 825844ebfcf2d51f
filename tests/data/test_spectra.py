"""Formats of observed spectra: a small twin of each, whose numbers must come out exactly."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from astropy.table import QTable

import arielflow as af
from arielflow.core.errors import ArielflowError
from arielflow.data.spectra import read as reading
from arielflow.data.spectra.spectrum import ObservedSpectrum, concatenate

Write = Callable[..., Path]
PURE = {"wavelength_unit": "um", "depth_unit": "fraction"}
UNNAMED = (
    "1.1 {0} 0.0151 1e-4",
    "1.2 {0} 0.0152 2e-4",
    "1.3 {0} 0.0153 3e-4",
    "1.4 {0} 0.015 1e-4",
)
# Three points at 1.1, 1.2 and 1.3 um of depth 1.51, 1.52 and 1.53 %, errors 100, 200 and 300 ppm.
WAVE, DEPTH, ERROR = [1.1, 1.2, 1.3], [0.0151, 0.0152, 0.0153], [1e-4, 2e-4, 3e-4]

IPAC = r"""\PL_NAME='WASP-39 b'
\SPEC_TYPE='Transit'
\INSTRUMENT='NIRISS &amp; more'
|CENTRALWAVELNG|BANDWIDTH|PL_TRANDEP|PL_TRANDEPERR1|PL_TRANDEPERR2|PL_TRANDEPLIM|PL_TRANDEP_AUTHORS|PL_RATROR|PL_RATRORERR1|PL_RATRORERR2|
|        double|   double|    double|        double|        double|         long|              char|   double|       double|       double|
|       microns|  microns|         %|              |              |             |                  |         |             |             |
|          null|     null|      null|          null|          null|         null|              null|     null|         null|         null|
        1.30000     0.100    1.53000        0.04000       -0.02000             0 Desert et al. 2015      null          null          null
        1.20000     0.100       null           null           null          null               null  0.120000      0.001000     -0.002000
        1.10000     0.100    1.51000        0.01000       -0.02000             0 Desert et al. 2015      null          null          null
        1.40000     0.100       null           null           null          null               null      null          null          null
        1.50000     0.100    1.51000        0.01000       -0.02000             1 Desert et al. 2015      null          null          null
"""  # noqa: E501
EUREKA = """# %ECSV 1.0
# ---
# datatype:
# - {name: wavelength, datatype: float64}
# - {name: bin_width, datatype: float64}
# - {name: KEY_value, datatype: float64}
# - {name: KEY_errorneg, datatype: float64}
# - {name: KEY_errorpos, datatype: float64}
# schema: astropy-2.0
wavelength bin_width KEY_value KEY_errorneg KEY_errorpos
"""
PYRATBAY = """# central-wavelength and half-width units are always microns
@DEPTH_UNITS
ppm
# depth  depth_err  wl  half_width  instrument
@DATA
15100 100 1.1 0.05 soss
15200 200 1.2 0.05 soss
15300 300 1.3 0.05 prism
15000 300 1.4 0.05 prism
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file of a name, in UTF-8 unless given as bytes."""

    def written(content: str | bytes, name: str = "planet.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def rows(*columns: list[float], separator: str = ",", end: str = "\n") -> str:
    """Columns as the rows of a table."""
    lines = (separator.join(f"{value:.10g}" for value in row) for row in zip(*columns, strict=True))
    return end.join(lines)


def check(spectrum: ObservedSpectrum, widths: str, width_um: float = 0.1) -> None:
    """The three points are there, with their widths and errors."""
    np.testing.assert_allclose(spectrum.wavelength_um, WAVE, rtol=1e-12)
    np.testing.assert_allclose(spectrum.depth, DEPTH, rtol=1e-12)
    np.testing.assert_allclose(spectrum.error, ERROR, rtol=1e-12)
    np.testing.assert_allclose(spectrum.width_um, width_um, rtol=1e-9)
    assert spectrum.widths == widths


PPM, PPM_ERROR, PERMILLE = [15100, 15200, 15300], [100, 200, 300], [0.1, 0.2, 0.3]
PERCENT, PERCENT_ERROR = [1.51, 1.52, 1.53], [0.01, 0.02, 0.03]
NM, HALF = [1100, 1200, 1300], [0.05] * 3
TEXTS = {
    "commas": ("wave [um],depth_ppm,depth_err\n" + rows(WAVE, PPM, PPM_ERROR), "none"),
    "blanks": ("wave_nm tdepth(%) sigma\n" + rows(NM, PERCENT, PERCENT_ERROR, separator=" "),
               "none"),
    "tabs, CRLF": ("\ufeffwavelength(micron)\tdppm\tdppm_err\r\n"
                   + rows(WAVE, PPM, PPM_ERROR, separator="\t", end="\r\n"), "none"),
    "semicolons": ("wl (Å);depth (%);error (ppm)\n"
                   + rows([11e3, 12e3, 13e3], PERCENT, PPM_ERROR, separator=";"), "none"),
    "bars": ("| wave_um | dppm | dppm_err |\n|---|---|---|\n| 1.1 | 15100 | 100 |\n| 1.2 | 15200 "
             "| 200 |\n| 1.3 | 15300 | 300 |", "none"),
    "exoTEDRF": ("# Target: x\n#\nwave,wave_err,dppm,dppm_err,order\n"
                 + rows(WAVE, HALF, PPM, PPM_ERROR, [1, 1, 1]), "half"),
    "petitRADTRANS": ("# #wave,bin_width,(rp/rs)**2,(rp/rs)**2_err\n"
                      + rows(WAVE, [0.1] * 3, DEPTH, ERROR), "full"),
    "names in a comment": (
        "# 3 points, a test\n# Wavelength (microns)  Delta Wavelength (microns)  (Rp/Rs)^2   "
        "(Rp/Rs)^2 +/-uncertainty\n#-----\n1.1 0.05 0.0151 1e-4 boxcar\n1.2 0.05 0.0152 2e-4 S36\n"
        "1.3 0.05 0.0153 3e-4 S45", "half"),
    "units in a row": ("wavelength,half width,depth,error\num,um,ppt,ppt\n"
                       + rows(WAVE, HALF, [15.1, 15.2, 15.3], PERMILLE), "half"),
    "units in a comment": ("# wavelength depth error\n# um % %\n"
                           + rows(WAVE, PERCENT, PERCENT_ERROR, separator=" "), "none"),
    "PLATON": ("#min_wavelength(m), max_wavelength(m), transit_depth, depth_error\n"
               + rows([1.05e-6, 1.15e-6, 1.25e-6], [1.15e-6, 1.25e-6, 1.35e-6], DEPTH, ERROR,
                      separator=" "), "full"),
    "descending": ("wave_um,dppm,dppm_err\n" + rows(WAVE[::-1], PPM[::-1], PPM_ERROR[::-1]),
                   "none"),
    "Latin-1": ("wave (µm),depth (ppm),err\n" + rows(WAVE, PPM, PPM_ERROR), "none"),
    "UTF-16": ("wave (um),depth (ppm),err\n" + rows(WAVE, PPM, PPM_ERROR), "none"),
    "Fortran": ("# wave_um depth_ppm err\n1.1D0 1.51D4 1D2\n1.2D0 1.52D4 2D2\n1.3D0 1.53D4 3D2",
                "none"),
    "quotes": ('"wave (um)","dppm","err"\n"1.1","15100","100"\n"1.2","15200","200"\n'
               '"1.3","15300","300"', "none"),
    "rows that end in a comma": ("wave_um,dppm,err,\n1.1,15100,100,\n1.2,15200,200,\n"
                                 "1.3,15300,300,", "none"),
    "an index without a name": (",wave_um,dppm,err\n0,1.1,15100,100\n1,1.2,15200,200\n"
                                "2,1.3,15300,300", "none"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_text_tables(write: Write, name: str) -> None:
    text, widths = TEXTS[name]
    encoding = {"Latin-1": "latin-1", "UTF-16": "utf-16"}.get(name, "utf-8")
    spectrum = af.read_spectrum(write(text.encode(encoding)))
    check(spectrum, widths)
    assert spectrum.kind == "transit" and spectrum.instruments == ("planet",)
    assert spectrum.files and all("\n" not in note for note in spectrum.notes)


def test_archive_tables_are_in_percent_with_errors_of_two_sides(write: Write) -> None:
    spectrum = af.read_spectrum(write(IPAC, "x.tbl"))
    np.testing.assert_allclose(spectrum.wavelength_um, WAVE)
    np.testing.assert_allclose(spectrum.depth, [0.0151, 0.0144, 0.0153])
    np.testing.assert_allclose(spectrum.error_high, [1e-4, 2.4e-4, 4e-4])
    np.testing.assert_allclose(spectrum.error_low, [2e-4, 4.8e-4, 2e-4])
    np.testing.assert_allclose(spectrum.error, [1.5e-4, 3.6e-4, 3e-4])
    assert spectrum.widths == "full" and spectrum.instruments == ("NIRISS & more",)
    told = "; ".join(spectrum.notes)
    assert "dropped 1 upper or lower limits" in told and "(at 1.4, 1.5 um)" in told


@pytest.mark.parametrize(
    ("names", "values", "kind"),
    [
        ("plntransdep plntransdeperr1 plntransdeperr2", "1.51 0.01 -0.01", "transit"),
        ("PL_RATROR PL_RATRORERR1 PL_RATRORERR2", "0.1 0.001 -0.001", "transit"),
        ("ESPECLIPDEP ESPECLIPDEPERR1 ESPECLIPDEPERR2", "0.05 0.01 -0.01", "eclipse"),
    ],
)
@pytest.mark.parametrize("separator", [",", "\t", "|"])
def test_old_and_new_names_of_the_archive(write, names, values, kind, separator) -> None:
    head = ["CENTRALWAVELNG", "BANDWIDTH", *names.split(), "INSTRUMENT"]
    lines = [[str(wave), "0.02", *values.split(), "WFC3"] for wave in WAVE]
    if separator == "|":
        text = f"|{'|'.join(head)}|\n" + "\n".join(" ".join(line) for line in lines)
    else:
        text = "\n".join(separator.join(line) for line in [head, *lines])
    spectrum = af.read_spectrum(write(text))
    depth, error = {"1.51": (0.0151, 1e-4), "0.1": (0.01, 2e-4), "0.05": (5e-4, 1e-4)}[
        values.split()[0]
    ]
    np.testing.assert_allclose(spectrum.depth, depth)
    np.testing.assert_allclose(spectrum.error, error)
    np.testing.assert_allclose(spectrum.width_um, 0.02)
    assert spectrum.kind == kind and spectrum.widths == "full"
    assert spectrum.instruments == ("WFC3",)


@pytest.mark.parametrize(
    ("key", "value", "kind", "depth", "error"),
    [
        ("rp^2", 0.0151, "transit", 0.0151, 1.5e-4),
        ("rp", 0.1, "transit", 0.01, 0.2 * 1.5e-4),
        ("fp", 0.0005, "eclipse", 0.0005, 1.5e-4),
    ],
)
def test_eureka_tables(write: Write, key, value, kind, depth, error) -> None:
    body = "\n".join(f"{wave} 0.02 {value} 1e-4 2e-4" for wave in WAVE)
    spectrum = af.read_spectrum(write(EUREKA.replace("KEY", key) + body))
    np.testing.assert_allclose(spectrum.depth, depth)
    np.testing.assert_allclose(spectrum.error, error)
    # Bins with gaps do not tell; the pipeline's own bin_width is half of one.
    assert spectrum.widths == "half" and spectrum.kind == kind
    np.testing.assert_allclose(spectrum.width_um, 0.04)


def test_pyrat_bay_files(write: Write) -> None:
    spectrum = af.read_spectrum(write(PYRATBAY))
    check(spectrum.select(spectrum.wavelength_um < 1.35), "half")
    assert spectrum.instrument.tolist() == ["soss", "soss", "prism", "prism"]
    lines = "# Wavelength (um),Band width (um), Rp/Rs, Rp/R* error\n@stis\n" + rows(
        WAVE, [0.1] * 3, [0.1] * 3, [0.001] * 3
    )
    spectrum = af.read_spectrum(write(lines + "\n@irac\n4.5, 0.56, 0.1, 0.002"))
    assert spectrum.instruments == ("stis", "irac") and spectrum.widths == "full"
    np.testing.assert_allclose(spectrum.depth, 0.01)
    np.testing.assert_allclose(spectrum.error, [2e-4] * 3 + [4e-4])
    np.testing.assert_allclose(spectrum.width_um, [0.1] * 3 + [0.56])


@pytest.mark.parametrize("form", ["fits", "ecsv", "h5netcdf", "scipy"])
def test_containers_with_units(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"planet.{form}"
    if form in ("fits", "ecsv"):
        QTable(
            {
                "wavelength": NM * u.nm,
                "half_width": HALF * u.um,
                "transit_depth": PERCENT * u.percent,
                "depth_error": PERCENT_ERROR * u.percent,
            }
        ).write(path)
    else:
        ratio = {"units": "(R_jup*R_jup)/(R_jup*R_jup)"}
        xr.Dataset(
            {
                "transit_depth": ("central_wavelength", DEPTH, ratio),
                "transit_depth_error": ("central_wavelength", ERROR, ratio),
            },
            coords={
                "central_wavelength": ("central_wavelength", NM, {"units": "nm"}),
                "bin_half_width": ("bin_half_width", [0.05, 0.05, 0.05], {"units": "micron"}),
            },
            attrs={"instrument": "NIRSpec"},
        ).to_netcdf(path, engine=form)
    spectrum = af.read_spectrum(path)
    check(spectrum, "half")
    assert spectrum.instruments == (("planet",) if form in ("fits", "ecsv") else ("NIRSpec",))


def test_machine_readable_tables(tmp_path: Path) -> None:
    table = QTable({"Wave": WAVE * u.um, "Depth": PERCENT * u.percent})
    table["e_Depth"] = PERCENT_ERROR * u.percent
    table.write(tmp_path / "table1.txt", format="ascii.mrt")
    check(af.read_spectrum(tmp_path / "table1.txt"), "none")


@pytest.mark.parametrize(
    ("lines", "widths", "width_um"),
    [
        ([line.format(0.05) for line in UNNAMED], "half", 0.1),
        ([line.format(0.1) for line in UNNAMED], "full", 0.1),
        (["1.1 0.0151 1e-4 0.1", "1.2 0.0152 2e-4 0.1", "1.3 0.0153 3e-4 0.1"], "full", 0.1),
        (["1.05 1.15 0.0151 1e-4", "1.15 1.25 0.0152 2e-4", "1.25 1.35 0.0153 3e-4"], "full", 0.1),
        (["1.1 0.0151 1e-4", "1.2 0.0152 2e-4", "1.3 0.0153 3e-4"], "none", 0.1),
        ([line.format(0.1) + " soss" for line in UNNAMED], "full", 0.1),
    ],
    ids=["half", "full", "TauREx", "PLATON", "three columns", "instrument"],
)
def test_tables_without_a_header_ask_for_units(write: Write, lines, widths, width_um) -> None:
    path = write("\n".join(lines))
    with pytest.raises(ArielflowError, match=r"no header.*--wavelength-unit.*--depth-unit"):
        af.read_spectrum(path)
    with pytest.raises(ArielflowError, match="--depth-unit"):
        af.read_spectrum(path, wavelength_unit="um")
    spectrum = af.read_spectrum(path, **PURE)
    check(spectrum.select(spectrum.wavelength_um < 1.35), widths, width_um)


def test_widths_that_nothing_tells_are_asked_for(write: Write) -> None:
    path = write("\n".join(line.format(0.03) for line in UNNAMED))
    with pytest.raises(ArielflowError, match="--widths full or --widths half"):
        af.read_spectrum(path, **PURE)
    for widths, width_um in (("full", 0.03), ("half", 0.06)):
        spectrum = af.read_spectrum(path, widths=widths, **PURE)
        assert spectrum.widths == widths
        np.testing.assert_allclose(spectrum.width_um, width_um)
    # What the user says counts, though the bins look otherwise; the notes tell.
    path = write("\n".join(line.format(0.05) for line in UNNAMED))
    spectrum = af.read_spectrum(path, widths="full", **PURE)
    assert spectrum.widths == "full" and "if they were half" in "; ".join(spectrum.notes)


def test_wavenumbers_and_radius_ratios(write: Write) -> None:
    path = write("5000 0.1 0.001\n5100 0.1 0.001\n5200 0.11 0.001")
    spectrum = af.read_spectrum(path, wavelength_unit="cm-1", depth_unit="rp/rs")
    np.testing.assert_allclose(spectrum.wavelength_um, [1e4 / 5200, 1e4 / 5100, 2.0])
    np.testing.assert_allclose(spectrum.depth, [0.0121, 0.01, 0.01])
    np.testing.assert_allclose(spectrum.error, [2.2e-4, 2e-4, 2e-4])


def test_several_files_are_several_instruments(write: Write) -> None:
    first = write("wave_um,dppm,err\n" + rows(WAVE, PPM, PPM_ERROR), "niriss.csv")
    second = write("wave_um,width_um,dppm,err\n" + rows([3.6, 4.5], [0.9, 0.9], [15000, 15100],
                   [50, 60]), "irac.csv")  # fmt: skip
    with pytest.raises(ArielflowError, match="--widths full or --widths half"):
        af.read_spectrum([second, first])
    spectrum = af.read_spectrum([second, first], widths="full")
    assert spectrum.instrument.tolist() == ["niriss"] * 3 + ["irac"] * 2
    assert spectrum.files == (str(second), str(first)) and len(spectrum) == 5
    assert {note.split(":")[0] for note in spectrum.notes} == {"niriss.csv", "irac.csv"}
    named = af.read_spectrum([second, first], widths="full", instruments=["Spitzer", "SOSS"])
    assert named.instruments == ("SOSS", "Spitzer")
    with pytest.raises(ArielflowError, match="at least 3"):
        af.read_spectrum(second, widths="full")
    with pytest.raises(ArielflowError, match="the same points as"):
        af.read_spectrum([first, write(first.read_text(), "copy.csv")])
    eclipse = write("wave_um,eclipse_depth_ppm,err_ppm\n" + rows(WAVE, [1, 2, 3], [9, 9, 9]), "e")
    with pytest.raises(ArielflowError, match="transit and eclipse depths are no single"):
        af.read_spectrum([first, eclipse])


def test_an_option_is_for_the_files_that_leave_it_open(write: Write) -> None:
    first = write("wave_nm,half_width_nm,dppm,err\n" + rows(NM, [50] * 3, PPM, PPM_ERROR), "niriss")
    second = write("3.6 0.9 0.0151 5e-5\n4.5 0.9 0.0150 5e-5", "irac")
    spectrum = af.read_spectrum([first, second], widths="full", **PURE)
    np.testing.assert_allclose(spectrum.wavelength_um, [*WAVE, 3.6, 4.5])
    np.testing.assert_allclose(spectrum.width_um, [0.1, 0.1, 0.1, 0.9, 0.9])
    told = [note for note in spectrum.notes if "for the other files" in note]
    assert len(told) == 3 and all(note.startswith("niriss: --") for note in told)
    other = write("wave_nm,half_width_nm,dppm,err\n" + rows([2100, 2200], [50] * 2, [1e4, 1e4],
                  [99, 99]), "other")  # fmt: skip
    with pytest.raises(ArielflowError, match="is in nm, --wavelength-unit um contradicts it"):
        af.read_spectrum([first, other], wavelength_unit="um")


def test_binning_weights_with_the_inverse_variance() -> None:
    spectrum = ObservedSpectrum(
        *([1.3, 1.1, 1.2, 2.0], [0.1] * 4, [0.03, 0.01, 0.02, 0.5]),
        *([3e-4, 1e-4, 2e-4, 1e-4], [3e-4, 1e-4, 2e-4, 1e-4], ["a", "a", "a", "b"]),
    )
    assert spectrum.wavelength_um.tolist() == [1.1, 1.2, 1.3, 2.0]
    binned = spectrum.bin_to([1.0, 1.25, 1.5])
    weight = np.array([1.0, 0.25])
    np.testing.assert_allclose(binned.depth, [weight @ [0.01, 0.02] / 1.25, 0.03])
    np.testing.assert_allclose(binned.error, [1e-4 / np.sqrt(1.25), 3e-4])
    np.testing.assert_allclose(binned.wavelength_um, [1.125, 1.375])
    np.testing.assert_allclose(binned.width_um, 0.25)
    assert "1 points outside the bins left out" in binned.notes[-1]
    both = concatenate([binned, spectrum.select(spectrum.instrument == "b")])
    assert both.instruments == ("a", "b") and len(both) == 3
    for fault in (lambda: spectrum.bin_to([2, 1]), lambda: spectrum.bin_to([5, 6]),
                  lambda: spectrum.select(np.zeros(4, bool)), lambda: spectrum.select([0]),
                  lambda: concatenate([])):  # fmt: skip
        with pytest.raises(ArielflowError):
            fault()


@pytest.mark.parametrize(
    "change",
    [{"depth": [0.01, np.nan]}, {"depth": [0.01, -0.01]}, {"error_low": [0.0, 1e-4]},
     {"width_um": [0.1]}, {"instrument": "a"}, {"kind": "phase"}, {"wavelength_um": [-1, 1]}],
)  # fmt: skip
def test_a_spectrum_holds_nothing_impossible(change: dict) -> None:
    good = {
        "wavelength_um": [1.1, 1.2],
        "width_um": [0.1, 0.1],
        "depth": [0.01, 0.01],
        "error_low": [1e-4, 1e-4],
        "error_high": [1e-4, 1e-4],
        "instrument": ["a", "a"],
    }
    assert len(ObservedSpectrum(**good)) == 2
    with pytest.raises(ArielflowError):
        ObservedSpectrum(**good | change)


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(reading)
    assert result.attempted > 5 and not result.failed
