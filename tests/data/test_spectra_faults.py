"""Observed spectra that are refused or mended, and the real files of published spectra."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import run
from typer.testing import CliRunner

import arielflow as af
from arielflow.cli import app
from arielflow.cli.spectra import describe_lines
from arielflow.core.errors import ArielflowError

HEAD = "wave_um,depth_ppm,err\n"
GOOD = HEAD + "1.1,15100,100\n1.2,15200,200\n1.3,15300,300\n"
BARE = "1.1 0.0151 1e-4\n1.2 0.0152 2e-4\n1.3 0.0153 3e-4\n"
ECSV = "# %ECSV 1.0\n# ---\n"
ALIASES = "".join(
    f"# {name}: &{name} [{', '.join([f'*{last}'] * 9) if last else '0'}]\n"
    for last, name in zip(["", *"abcdefgh"], "abcdefghi", strict=True)
)
LIMB = "limb alone"
FAULTS = {
    "empty": ("", "is empty"),
    "blank": ("\n  \r\n\n", "nothing but blank lines"),
    "binary": (bytes(range(256)) * 20, "binary data"),
    "zeros": (b"\0" * 500, "binary data"),
    "gzip": (b"\x1f\x8b\x08\0\0\0", "compressed file"),
    "spreadsheet": (b"PK\x03\x04rest", "zip"),
    "NumPy": (b"\x93NUMPY\x01\0v\0{}", "NumPy array"),
    "pickle": (b"\x80\x04\x95rest", "never opened"),
    "FITS of nothing": (b"SIMPLE  =                    T" + b" " * 50, "FITS"),
    "HDF5 of nothing": (b"\x89HDF\r\n\x1a\nrest", "NetCDF file"),
    "NetCDF of nothing": (b"CDF\x01rest", "NetCDF file"),
    "header alone": (HEAD, "no table of numbers"),
    "prose": ("A spectrum of 3 points.\nIt was seen by JWST, in 2022.\n", "no table of numbers"),
    "web page": ("<!DOCTYPE html>\n<html>404</html>", "HTML page"),
    "VOTable": ('<?xml version="1.0"?><VOTABLE/>', "XML"),
    "JSON": ('{"wave": [1, 2, 3]}', "JSON"),
    "LaTeX": ("\\begin{table}\n1.1 & 2 \\\\\n", "LaTeX"),
    "another table": ("name,mass,radius\na,1,2\nb,3,4\n", "none of its columns (name, mass"),
    "no depths": ("wave_um,albedo,err\n1,2,3\n", "is a transit or eclipse depth"),
    "filter": ("# Wavelength transmission\n# um unitless\n1.1 0.5\n1.2 0.6\n", "profile of a fi"),
    "model": ("1.1 0.0151\n1.2 0.0152\n1.3 0.0153\n", "two columns without a header"),
    "posterior": (" ".join(["0.1"] * 19) + "\n", "19 columns without a header"),
    "no errors": ("wave_um,depth_ppm\n1.1,1\n1.2,2\n", "no column is the error"),
    "column twice": ("wave_um,dppm,dppm,err\n1.1,1,1,1\n1.2,2,2,2\n", "2 columns could be the de"),
    "two planets": ("planet," + HEAD + "b,1.1,15100,1\nc,1.2,15100,1\n", "holds 2 planets (b, c)"),
    "short row": (GOOD + "1.4,15400\n", "line 5 has 2 cells, the others 3"),
    "mixed separators": (GOOD + "1.4 15400 100\n", "line 5 has 1 cell, the others 3"),
    "word": (GOOD + "1.4,deep,100\n", "line 5, column depth_ppm holds 'deep'"),
    "decimal commas": ("wave_um;dppm;err\n1,1;15100;1,5\n", "a number with a decimal point"),
    "words below": (GOOD + "the end\n", "line 5 holds 'the end' amid the numbers"),
    "names too few": ("wave_um depth_ppm err\n0 1.1 15100 1\n", "line 1 names 3 columns"),
    "escape": (GOOD + "1.4,\x1b[31mred,100\n", "\\\\x1b"),
    "endless line": ("1.1 " * 9000, "characters, expected at most"),
    "all empty": (HEAD + "1.1,nan,100\n1.2,,100\n1.3,inf,1\n", "no depth is a number"),
    "negative errors": (GOOD.replace(",1", ",-1").replace(",2", ",-2").replace(",3", ",-3")
                        .replace(",-15", ",15"), "0 of 3 points are usable"),
    "few points": (HEAD + "1.1,15100,100\n1.2,15200,200\n1.3,nan,100\n", "2 of 3 points are"),
    "two points": (HEAD + "1.1,15100,100\n1.2,15200,200\n", "at least 3"),
    "errors above depths": (HEAD + "1.1,150,1e4\n1.2,150,1e4\n1.3,150,1e4\n", "exceed the depths"),
    "negative depths": (GOOD.replace(",15", ",-15"), "3 of 3 transit depths are negative"),
    "a radius ratio": ("wave_um,depth,err\n" + "1.1,.12,.001\n1.2,.13,.001\n1.3,.12,.001\n",
                       "looks like percent or rp/rs or fraction"),
    "ppm as percent": (GOOD.replace("depth_ppm", "depth_percent"), "looks like ppm"),
    "percent unsaid": ("wave_um,depth,err\n1.1,1.5,.1\n1.2,1.5,.1\n1.3,1.5,.1\n",
                       "looks like percent: --depth-unit percent"),
    "nm as um": (GOOD.replace("1.", "110"), "looks like nm: --wavelength-unit nm"),
    "unknown unit": ("wave (furlong),dppm,err\n1.1,1,1\n1.2,2,1\n", "give --wavelength-unit"),
    "error of a ratio in ppm": ("wave_um,rprs,err_ppm\n1.1,.1,9\n", "give them in one unit"),
    "errors of two units": ("wave_um,dppm,err_low (ppm),err_high (%)\n1.1,151,9,1\n", "one unit"),
    "unknown units row": ("wave,depth,err\nfurlong,ppm,ppm\n1.1,1,1\n", "line 2 holds 'furlong"),
    "no units": ("wave,depth,err\n1.1,0.01,1e-4\n1.2,0.01,1e-4\n", "states no units"),
    "unit of depths": ("wave_um,depth (acre),err\n1.1,0.01,1e-4\n", "states no unit of its depths"),
    "point beside its bin": ("wave_um,wave_min_um,wave_max_um,dppm,err\n1.1,1.2,1.3,9,1\n",
                             "outside its bin"),
    "one point of an instrument": ("instrument," + HEAD + "a,1,15100,9\na,2,15100,9\nb,3,15100,9\n",
                                   "without a neighbour"),
    "too wide": ("full_width_um," + HEAD + "900,1.1,15100,9\n900,1.2,15100,9\n900,1.3,15100,9\n",
                 "less than twice its wavelength"),
    "limbs": ("wave_um,rp_morning,rp_morning_err,rp_evening,rp_evening_err\n1,.1,.1,.1,.1\n", LIMB),
    "catwoman": ("wave_um,rp1,rp1_err,rp2,rp2_err\n1.1,.1,.01,.1,.01\n", LIMB),
    "limb by row": ("limb,wave_um,rprs,err\nmorning,1.1,.1,.01\n", LIMB),
    "limb in a comment": ("# evening limb\n" + GOOD, LIMB),
    "ECSV of furlongs": (ECSV + "# datatype:\n# - {name: wave, unit: furlong}\n# - {name: dppm}\n"
                         "# - {name: err}\nwave dppm err\n1 1 1\n", "has the unit furlong"),
    "broken ECSV": (ECSV + "# a: [b\n" + GOOD, "ECSV header"),
    "foreign ECSV": (ECSV + "# datatype:\n# - {name: a}\n" + GOOD, "names 1 columns"),
    "IPAC without rows": ("\\A='b'\n|CENTRALWAVELNG|PL_TRANDEP|\n", "without rows"),
    "IPAC askew": ("|CENTRALWAVELNG|PL_TRANDEP|\n1.1 1.5 0.1 7\n", "line 2 fits neither"),
    "Pyrat Bay's filters": ("@DATA\n151 1 a.dat\n152 1 b.dat\n", "filters"),
    "Pyrat Bay's units": ("@DEPTH_UNITS\nacre\n@DATA\n1 1 1.1 .05 a\n", "@DEPTH_UNITS holds acre"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_one_telling_line(tmp_path: Path, name: str) -> None:
    content, words = FAULTS[name]
    path = tmp_path / "planet.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ArielflowError) as caught:
        af.read_spectrum(path)
    text = str(caught.value)
    assert words.replace("\\\\", "\\") in text and "\n" not in text, text
    assert text.startswith(str(path)) and len(text) < 600
    done = CliRunner().invoke(app, ["inspect", str(path)])
    assert isinstance(done.exception, ArielflowError) and str(done.exception) == text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wavelength_unit": "nm"}, "wave_um is in um, --wavelength-unit nm contradicts it"),
        ({"depth_unit": "percent"}, "depth_ppm is in ppm, --depth-unit percent contradicts it"),
        ({"wavelength_unit": "parsec"}, "parsec: no unit of a wavelength"),
        ({"depth_unit": "um"}, "um: no unit of a depth"),
        ({"widths": "double"}, "choose full or half"),
        ({"kind": "phase curve"}, "choose transit or eclipse"),
        ({"instruments": ["a", "b"]}, "2 names of instruments for 1 files"),
    ],
)
def test_options_that_contradict_the_file_or_are_unknown(tmp_path, options, words) -> None:
    path = tmp_path / "planet.csv"
    path.write_text(GOOD)
    with pytest.raises(ArielflowError, match=words):
        af.read_spectrum(path, **options)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ("wave_um,half_width,dppm,err\n1.1,.05,151,1\n", {"widths": "full"}),
        ("wave_um,eclipse_depth_ppm,err\n1.1,151,1\n", {"kind": "transit"}),
        ("wave_um,rprs,err\n1.1,.1,.01\n", {"kind": "eclipse"}),
        ("wave_um,rprs,err\n1.1,.1,.01\n", {"depth_unit": "fraction"}),
        ("wave_um,(Rp/Rs)^2,err\n1.1,.01,.001\n", {"depth_unit": "rp/rs"}),
        ("wave_min_um,wave_max_um,dppm,err\n1.1,1.2,151,1\n", {"widths": "half"}),
    ],
)
def test_what_the_columns_say_is_not_overruled(tmp_path: Path, text: str, option: dict) -> None:
    path = tmp_path / "planet.csv"
    path.write_text(text)
    with pytest.raises(ArielflowError, match="contradicts it; leave the option out"):
        af.read_spectrum(path, **option)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    for paths, words in (
        (tmp_path / "none.dat", "no such file"),
        (tmp_path, "is a folder"),
        ([], "no file of a spectrum"),
    ):
        with pytest.raises(ArielflowError, match=words):
            af.read_spectrum(paths)


def test_absurd_options_name_the_likely_unit(tmp_path: Path) -> None:
    path = tmp_path / "planet.dat"
    path.write_text(BARE)
    with pytest.raises(ArielflowError, match="looks like um: --wavelength-unit um"):
        af.read_spectrum(path, wavelength_unit="m", depth_unit="fraction")
    with pytest.raises(ArielflowError, match="looks like fraction"):
        af.read_spectrum(path, wavelength_unit="um", depth_unit="ppm")
    path.write_text("1.1 1.51 0.01\n1.2 1.52 0.01\n1.3 1.53 0.01")
    with pytest.raises(ArielflowError, match="looks like percent: --depth-unit percent"):
        af.read_spectrum(path, wavelength_unit="um", depth_unit="fraction")


def test_rows_that_cannot_be_are_dropped_aloud(tmp_path: Path) -> None:
    path = tmp_path / "planet.csv"
    bad = "1.4,nan,9\n1.5,15000,-9\n1.6,15000,0\n1.7,15000,inf\n1.8,-3,9\n1.9,15000,16000\n-2,9,1\n"
    path.write_text(GOOD + bad + "1.3,15300,300\n1.3,15301,300\n")
    spectrum = af.read_spectrum(path)
    assert spectrum.wavelength_um.tolist() == [1.1, 1.2, 1.3, 1.3]
    told = "; ".join(spectrum.notes)
    for words in (
        "dropped 2 points without a number (at 1.4, 1.7 um)",
        "dropped 1 point outside 0.1 to 100 um (at -2 um)",
        "dropped 2 points with an error that is not positive (at 1.5, 1.6 um)",
        "dropped 1 point with a depth that is not positive (at 1.8 um)",
        "dropped 1 point with an error above its depth (at 1.9 um)",
        "dropped 1 point repeating another (at 1.3 um)",
        "kept 2 points of one instrument at shared wavelengths",
    ):
        assert words in told
    eclipse = path.with_name("eclipse.csv")
    eclipse.write_text("wave_um,eclipse_depth_ppm,err_ppm\n1,-20,50\n1.5,30,50\n2,100,50\n")
    assert af.read_spectrum(eclipse).depth.tolist() == pytest.approx([-2e-5, 3e-5, 1e-4])


def test_an_ecsv_header_that_unfolds_without_end_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "planet.ecsv"
    path.write_text(ECSV + ALIASES + GOOD.replace(",", " "))
    assert len(af.read_spectrum(path)) == 3


def test_inspect_answers_in_json_and_in_lines(tmp_path: Path) -> None:
    path = tmp_path / "planet.csv"
    path.write_text(GOOD)
    done = run("inspect", path, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == ["points", "wavelength_um", "depth_ppm", "error_ppm", "widths", "kind",
                           "instruments", "notes"]  # fmt: skip
    assert found["points"] == 3 and found["wavelength_um"] == [1.1, 1.3]
    assert found["depth_ppm"] == pytest.approx(15200) and found["error_ppm"] == pytest.approx(200)
    assert found["widths"] == "none" and found["kind"] == "transit"
    assert found["instruments"] == ["planet"] and all(isinstance(n, str) for n in found["notes"])
    lines = CliRunner().invoke(app, ["inspect", str(path)]).output.splitlines()
    assert lines[0] == "points: 3, 1.1 to 1.3 um" and lines[3] == "instruments: planet (3)"
    assert lines == describe_lines(af.read_spectrum(path))
    path.write_text(BARE)
    done = run("inspect", path)
    assert done.returncode == 2 and not done.stdout and done.stderr.count("\n") == 1
    assert "--wavelength-unit" in done.stderr and "--depth-unit" in done.stderr
    options = ["--wavelength-unit", "nm", "--depth-unit", "fraction", "--kind", "eclipse"]
    path.write_text(BARE.replace("1.", "110"))
    done = CliRunner().invoke(app, ["inspect", str(path), *options, "--json"])
    assert json.loads(done.output)["kind"] == "eclipse"


WASP39, SOSS = "WASP-39b_NIRSpec-PRISM_petitRADTRANS", "WASP-39b_NIRISS-SOSS"
HD209, HD189 = "HD209458b_STIS-WFC3-Spitzer", "HD189733b_NIRCam"
K2_18, WASP69 = "K2-18b_NIRISS_G395H", "WASP-69b_emission"
# File: points, widths, first and last wavelength [um], first depth, error and full width [um].
REAL = {
    "WASP-39b_HST-VLT-Spitzer/WASP-39b_Wakeford_2018_AJ.csv":
        (70, "half", 0.33, 4.5, 0.14861**2, 2 * 0.14861 * 0.00116, 0.08),
    f"{HD209}/hd209458b_transit_depths":
        (42, "full", 0.3245, 7.8, 0.0147374084794, 4.0002e-5, 0.045),
    f"{HD209}/HD209458b_sing_2015.csv":
        (124, "full", 0.3072, 4.5, 0.12217**2, 2 * 0.12217 * 0.00057, 0.0176),
    f"{HD209}/HD209458b_transmission_Sing2016.txt":
        (124, "half", 0.3072, 4.5, 0.01492551, 0.00013927, 0.0176),
    "HD189733b_STIS-WFC3-Spitzer/HD189733b_transmission_Sing2016.txt":
        (53, "half", 0.345, 4.5, 0.02499877, 0.00010119, 0.05),
    f"{HD189}/HD189733b_JWST_trans.txt":
        (139, "full", 2.4046, 4.9737, 0.02407952, 6.035e-5, 0.0191),
    f"{HD189}/nircam_transmission_spectrum.txt":
        (139, "half", 2.4046019, 4.9737, 0.0240795214, 6.0354142e-5, 0.019101454),
    f"{K2_18}/K2-18b_niriss_soss_lowres.txt":
        (30, "half", 0.86964559, 2.7716582, 2.94338718e-3, 4.46615777e-5, 0.03478582),
    f"{K2_18}/K2-18b_niriss_soss_native.txt":
        (1010, "half", 0.8522683, 2.8270417, 2.62085645e-3, 2.23581671e-4, 1.7678365e-3),
    f"{K2_18}/K2-18b_nirspec_g395h_lowres.txt":
        (34, "half", 2.7678919, 5.12779705, 2.9024869e-3, 8.72506675e-5, 0.05032531),
    f"{K2_18}/K2-18b_nirspec_g395h_native.txt":
        (3401, "half", 2.74279475, 5.17429209, 3.07348108e-3, 1.11479056e-3, 6.78658e-4),
    "WASP-107b_HST-NIRCam-MIRI-NIRISS/WASP-107b_JWST_trans.txt":
        (265, "half", 0.8916, 13.628, 0.020641, 8.2e-5, 0.025454),
    "WASP-107b_HST-NIRCam-MIRI-NIRISS/WASP-107b_JWST_trans_3.txt":
        (378, "half", 0.6036, 13.628, 0.0205428, 0.00015865, 0.0066),
    "WASP-39b_JWST-combined/obs_wasp39b_transit_jwst.dat":
        (383, "half", 0.52132, 11.875, 0.0206671, 274.2e-6, 0.0085),
    f"{SOSS}/AT-WASP_39b_NIRISS_transmission_spectrum.csv":
        (143, "half", 0.6335, 2.772, 0.0209837, 137.9e-6, 0.007),
    f"{SOSS}/CMADF-WASP_39b_NIRISS_transmission_spectrum_R100.csv":
        (132, "half", 0.63305, 2.7936, 0.0211025, 8.93e-5, 0.00713),
    f"{SOSS}/CMADF-WASP_39b_NIRISS_transmission_spectrum_R300.csv":
        (331, "half", 0.631, 2.7965, 0.021065, 1.396e-4, 0.002932),
    f"{SOSS}/LPC-WASP_39b_NIRISS_transmission_spectrum.csv":
        (122, "half", 0.62311375, 2.7878, 0.0211813994, 148.34e-6, 0.00665),
    f"{SOSS}/MCR-WASP_39b_NIRISS_transmission_spectrum.csv":
        (376, "half", 0.6011, 2.8235, 0.021804, 3.81e-4, 0.00246),
    f"{SOSS}/NE-WASP_39b_NIRISS_transmission_spectrum.csv":
        (166, "half", 0.60267, 2.7959, 0.0213308, 253.16e-6, 0.00368),
    # Its wave_error is the whole width: every bin then ends where the next one begins.
    f"{SOSS}/ZR-WASP_39b_NIRISS_transmission_spectrum.csv":
        (120, "full", 0.84478, 2.77042415, 0.021303, 2.99e-4, 0.01316),
    f"{WASP39}/WASP39b_NIRISS_SOSS_Order1_R100.dat":
        (108, "full", 0.87711328, 2.8048368, 0.0210053276, 8.43122869e-5, 0.00890481583),
    f"{WASP39}/WASP39b_NIRISS_SOSS_Order2_R100.dat":
        (27, "full", 0.63297876, 0.84840613, 0.0208411620, 1.40683337e-4, 0.00671412849),
    f"{WASP39}/WASP39b_NIRSpec_PRISM_bins_scale1.dat":
        (147, "full", 0.521324585, 5.344124765, 0.0208422452, 3.04407618e-4, 0.008498071),
    f"{WASP39}/WASP39b_niriss_soss1.txt":
        (108, "half", 0.87711328, 2.8048368, 0.0209431718, 7.06798368e-5, 0.00890481583),
    f"{WASP39}/WASP39b_niriss_soss2.txt":
        (27, "half", 0.63297876, 0.84840613, 0.0210266603, 1.13571869e-4, 0.00671412849),
    f"{WASP39}/WASP39b_nirspec_prism.txt":
        (112, "half", 0.521324585, 5.344124765, 0.0208996706, 2.56281750e-4, 0.008498071),
    "WASP-43b_WFC3/w43b_trans.txt": (22, "none", 1.147, 1.631, 0.02553, 5.4e-5, 0.023),
    "taurex_quickstart_simulated/quickstart.dat":
        (192, "none", 0.74564538, 4.98786538, 0.01030256572, 2e-5, 0.00745645),
    "WASP-43b_WFC3/w43b_emis.txt": (15, "none", 1.1425, 1.6325, 3.67e-4, 4.5e-5, 0.035),
    f"{WASP69}/1_table_WASP-69-b-Schlawin-et-al.-2024.tsv":
        (51, "full", 2.095, 4.9377, 1.337e-4, 4.41e-5, 0.209),
    f"{WASP69}/2_table_WASP-69-b-Schlawin-et-al.-2024.tsv":
        (28, "full", 5.125, 11.875, 9.34e-4, 9.1e-5, 0.25),
    f"{WASP69}/WASP-69b_emission_JWST.txt": (79, "half", 2.095, 11.875, 1.337e-4, 4.41e-5, 0.209),
}  # fmt: skip
WITHOUT_HEADER = ("niriss_soss1", "niriss_soss2", "nirspec_prism", "quickstart", "w43b_emis")


@pytest.mark.external
@pytest.mark.parametrize("name", REAL)
def test_published_spectra(shared: Path, name: str) -> None:
    path, options = shared / "data" / "observed" / name, {}
    points, widths, first, last, depth, error, width_um = REAL[name]
    if path.stem.removeprefix("WASP39b_") in WITHOUT_HEADER:
        options = {"wavelength_unit": "um", "depth_unit": "fraction"}
        with pytest.raises(ArielflowError, match="no header"):
            af.read_spectrum(path)
    spectrum = af.read_spectrum(path, **options)
    assert (len(spectrum), spectrum.widths) == (points, widths)
    assert spectrum.kind == ("eclipse" if "emis" in name else "transit")
    found = (spectrum.wavelength_um[0], spectrum.wavelength_um[-1], spectrum.depth[0],
             spectrum.error[0], spectrum.width_um[0])  # fmt: skip
    np.testing.assert_allclose(found, (first, last, depth, error, width_um), rtol=2e-3)


@pytest.mark.external
def test_published_populations_and_instruments(shared: Path) -> None:
    folder = shared / "data" / "observed"
    population = sorted((folder / "HST-WFC3_population_CubillosBlecic2021").glob("*.csv"))
    assert len(population) == 17
    for path in population:
        spectrum = af.read_spectrum(path)
        assert spectrum.widths == "full" and spectrum.kind == "transit", path.name
        assert 16 <= len(spectrum) <= 20 or "sing" in path.name
        assert set(spectrum.instruments) >= {"wfc3_g141"}
    combined = af.read_spectrum(folder / "WASP-39b_JWST-combined/obs_wasp39b_transit_jwst.dat")
    counts = {name: int((combined.instrument == name).sum()) for name in combined.instruments}
    assert counts == {"nirspec_prism": 112, "niriss_soss1": 108, "niriss_soss2": 27,
                      "nircam_f322w2": 49, "nirspec_g395h_nrs1": 30, "nirspec_g395h_nrs2": 29,
                      "miri_lrs": 28}  # fmt: skip
    emission = af.read_spectrum(sorted((folder / WASP69).glob("*.tsv")))
    same = af.read_spectrum(folder / WASP69 / "WASP-69b_emission_JWST.txt")
    assert len(emission) == len(same) == 79
    np.testing.assert_allclose(emission.depth, same.depth, rtol=1e-3)
    np.testing.assert_allclose(emission.width_um, same.width_um, rtol=1e-3)
    ratio = af.read_spectrum(folder / HD209 / "HD209458b_sing_2015.csv")
    depth = af.read_spectrum(folder / HD209 / "HD209458b_transmission_Sing2016.txt")
    np.testing.assert_allclose(ratio.depth, depth.depth, rtol=1e-4)


@pytest.mark.external
def test_what_is_no_spectrum_among_the_published_files(shared: Path) -> None:
    folder = shared / "data" / "observed"
    others = [
        *(folder / WASP39 / "retrieval_run").iterdir(),
        *(folder / "WASP-43b_WFC3/chimera_free_retrieval").iterdir(),
        *list((folder / "Ariel_filter_profiles").glob("*.dat"))[:5],
        *(folder / "HST-WFC3_population_CubillosBlecic2021/benchmark").iterdir(),
        *folder.glob("*/README*"),
        folder / "taurex_quickstart_simulated/quickstart.par",
        shared / "data/wfc3_hela/WASP12b.npy",
    ]
    assert len(others) > 25
    for path in others:
        for options in ({}, {"wavelength_unit": "um", "depth_unit": "fraction"}):
            with pytest.raises(ArielflowError) as caught:
                af.read_spectrum(path, **options)
            assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))
