"""Real transmission spectra, each retrieved as one call of ``arielflow retrieve`` does it.

    python benchmarks/observed.py ../shared/data/observed

Writes ``results/observed/<case>`` and one row a case to ``docs/observed.csv``; cases that it holds
are not retrieved again. System parameters are those that the folders' README files name. Built-in
opacities, one thread.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from time import process_time
from typing import Any, NamedTuple

import pandas as pd
import torch
from threadpoolctl import threadpool_limits

from arielflow.core.errors import ArielflowError
from arielflow.data.description.read import describe_planet
from arielflow.data.spectra.read import read_spectrum
from arielflow.report.spectrum_outputs import write_outputs
from arielflow.retrieval.spectra.methods import retrieve_spectrum
from arielflow.retrieval.spectra.setup import prepared_model

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "observed.csv"
SEED = 2026
PLAIN = {"wavelength_unit": "um", "depth_unit": "fraction"}
SYSTEMS = {  # star [Rsun], star [K], planet [Mjup], planet [Rjup]
    "WASP-39b": (0.9096, 5512, 0.266, 1.296),
    "HD 209458b": (1.155, 6065, 0.685, 1.359),
    "HD 189733b": (0.75, 5052, 1.1296, 1.106),
    "K2-18b": (0.4445, 3457, 0.02715, 0.2329),
    "WASP-107b": (0.66, 4430, 0.09596, 0.9403),
    "WASP-43b": (0.667, 4520, 2.034, 1.036),
    "TauREx quickstart": (1.0, 5800, 1.0, 0.9994),
}


class Case(NamedTuple):
    """A spectrum: its planet, its files and the options that they need."""

    planet: str
    files: tuple[str, ...]
    options: dict[str, Any]


CASES = {
    "wasp39b_wakeford2018": Case(
        "WASP-39b", ("WASP-39b_HST-VLT-Spitzer/WASP-39b_Wakeford_2018_AJ.csv",), {}
    ),
    "wasp39b_prism": Case(
        "WASP-39b",
        ("WASP-39b_NIRSpec-PRISM_petitRADTRANS/WASP39b_NIRSpec_PRISM_bins_scale1.dat",),
        {},
    ),
    "wasp39b_prism_soss_prt": Case(
        "WASP-39b",
        tuple(
            f"WASP-39b_NIRSpec-PRISM_petitRADTRANS/WASP39b_{name}.dat"
            for name in (
                "NIRSpec_PRISM_bins_scale1",
                "NIRISS_SOSS_Order1_R100",
                "NIRISS_SOSS_Order2_R100",
            )
        ),
        {},
    ),
    "wasp39b_carter2024_prism": Case(
        "WASP-39b", ("WASP-39b_NIRSpec-PRISM_petitRADTRANS/WASP39b_nirspec_prism.txt",), PLAIN
    ),
    "wasp39b_carter2024_soss": Case(
        "WASP-39b",
        tuple(f"WASP-39b_NIRSpec-PRISM_petitRADTRANS/WASP39b_niriss_soss{n}.txt" for n in (1, 2)),
        PLAIN,
    ),
    "wasp39b_combined": Case(
        "WASP-39b", ("WASP-39b_JWST-combined/obs_wasp39b_transit_jwst.dat",), {}
    ),
    **{
        f"wasp39b_niriss_{short}": Case(
            "WASP-39b",
            (f"WASP-39b_NIRISS-SOSS/{name}.csv",),
            {},
        )
        for short, name in (
            ("AT", "AT-WASP_39b_NIRISS_transmission_spectrum"),
            ("CMADF_R100", "CMADF-WASP_39b_NIRISS_transmission_spectrum_R100"),
            ("CMADF_R300", "CMADF-WASP_39b_NIRISS_transmission_spectrum_R300"),
            ("LPC", "LPC-WASP_39b_NIRISS_transmission_spectrum"),
            ("MCR", "MCR-WASP_39b_NIRISS_transmission_spectrum"),
            ("NE", "NE-WASP_39b_NIRISS_transmission_spectrum"),
            ("ZR", "ZR-WASP_39b_NIRISS_transmission_spectrum"),
        )
    },
    "hd209458b_sing2016": Case(
        "HD 209458b", ("HD209458b_STIS-WFC3-Spitzer/HD209458b_transmission_Sing2016.txt",), PLAIN
    ),
    "hd209458b_sing2015": Case(
        "HD 209458b", ("HD209458b_STIS-WFC3-Spitzer/HD209458b_sing_2015.csv",), {}
    ),
    "hd209458b_platon": Case(
        "HD 209458b", ("HD209458b_STIS-WFC3-Spitzer/hd209458b_transit_depths",), {}
    ),
    "hd189733b_nircam": Case(
        "HD 189733b", ("HD189733b_NIRCam/nircam_transmission_spectrum.txt",), PLAIN
    ),
    "hd189733b_nircam_skryer": Case(
        "HD 189733b", ("HD189733b_NIRCam/HD189733b_JWST_trans.txt",), PLAIN
    ),
    "hd189733b_sing2016": Case(
        "HD 189733b", ("HD189733b_STIS-WFC3-Spitzer/HD189733b_transmission_Sing2016.txt",), PLAIN
    ),
    "k2-18b_lowres": Case(
        "K2-18b",
        tuple(
            f"K2-18b_NIRISS_G395H/K2-18b_{name}_lowres.txt"
            for name in ("niriss_soss", "nirspec_g395h")
        ),
        {},
    ),
    "k2-18b_native": Case(
        "K2-18b",
        tuple(
            f"K2-18b_NIRISS_G395H/K2-18b_{name}_native.txt"
            for name in ("niriss_soss", "nirspec_g395h")
        ),
        {},
    ),
    "wasp107b": Case(
        "WASP-107b", ("WASP-107b_HST-NIRCam-MIRI-NIRISS/WASP-107b_JWST_trans.txt",), {}
    ),
    "wasp107b_soss": Case(
        "WASP-107b", ("WASP-107b_HST-NIRCam-MIRI-NIRISS/WASP-107b_JWST_trans_3.txt",), {}
    ),
    "wasp43b_kreidberg2014": Case("WASP-43b", ("WASP-43b_WFC3/w43b_trans.txt",), PLAIN),
    "taurex_quickstart": Case(
        "TauREx quickstart", ("taurex_quickstart_simulated/quickstart.dat",), PLAIN
    ),
}


def population(folder: Path) -> tuple[dict[str, Case], dict[str, tuple[float, ...]]]:
    """The WFC3 spectra of Cubillos & Blecic (2021), and their systems out of the README."""
    place = folder / "HST-WFC3_population_CubillosBlecic2021"
    text = (place / "README.txt").read_text()
    cases, systems = {}, {}
    for name, star_k, star, planet, mass in re.findall(
        r"run_(\S+?): tstar = (\S+?);rstar = (\S+) rsun;"
        r".*?rplanet = (\S+) rjup;mplanet = (\S+) mjup",
        text,
    ):
        systems[name] = (float(star), float(star_k), float(mass), float(planet))
        for path in sorted(place.glob(f"{name}_*.csv")):
            cases[path.stem] = Case(name, (f"{place.name}/{path.name}",), {})
    return cases, systems


def planet_settings(system: tuple[float, ...], spectrum: Any, planet: str) -> dict[str, Any]:
    """The planet file of a case: patchy clouds; haze with optical data; offsets."""
    star, star_k, mass, radius = system
    settings: dict[str, Any] = {
        "name": planet,
        "star": {"radius": f"{star} Rsun", "temperature": f"{star_k} K"},
        "planet": {
            "mass": f"{mass} Mjup",
            "radius": {
                "uniform": [round(0.7 * radius, 4), round(1.15 * radius, 4)],
                "unit": "Rjup",
            },
        },
        "atmosphere": {
            "gases": ["H2O", "CO2", "CO", "CH4", "NH3"],
            "temperature": {"isothermal": {"uniform": ["200 K", "2500 K"]}},
            "clouds": {
                "top_pressure": {"log_uniform": [1e-6, 10], "unit": "bar"},
                "fraction": {"uniform": [0, 1]},
            },
        },
    }
    if spectrum.wavelength_um[0] < 0.6:
        settings["atmosphere"]["haze"] = {
            "strength": {"log_uniform": [0.1, 1e6]},
            "slope": {"uniform": [-12, 0]},
        }
    if len(spectrum.instruments) > 1:
        # The first one keeps its zero: a common offset is the radius'.
        settings["instruments"] = {
            name: {"offset": {"normal": [0, 100], "unit": "ppm"}}
            for name in spectrum.instruments[1:]
        }
    return settings


def retrieved(name: str, case: Case, system: tuple[float, ...], folder: Path) -> dict[str, Any]:
    """One row of the table."""
    spectrum = read_spectrum([folder / file for file in case.files], **case.options)
    settings = planet_settings(system, spectrum, case.planet)
    started = process_time()
    model = prepared_model(describe_planet(settings), spectrum)
    result = retrieve_spectrum(model, "importance", seed=SEED)
    taken = process_time() - started
    directory = ROOT / "results" / "observed" / name
    files = write_outputs(result, directory, seed=SEED, planet_file=None)
    summary = json.loads(Path(files["summary.json"]).read_text())
    medians = {
        f"{name} {part}": summary["parameters"][name][key]
        for name in model.names
        for part, key in (("median", "median"), ("low", "low_68"), ("high", "high_68"))
        if "[" not in name
    }
    return {
        "case": name,
        "planet": case.planet,
        "points_read": len(spectrum),
        "points_used": len(model.spectrum),
        "parameters": model.dimension,
        "method": result.method,
        "efficiency": round(result.sampling_efficiency, 3),
        "spectra": result.spectra,
        "processor_s": round(taken),
        "log_evidence": round(result.log_evidence, 2),
        "chi2": round(summary["chi2"], 1),
        **medians,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", help="names of cases")
    options = parser.parse_args()
    torch.set_num_threads(1)
    more, systems = population(options.folder)
    cases, systems = CASES | more, SYSTEMS | systems
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.is_file() else []
    for name, case in cases.items():
        if any(row["case"] == name for row in rows) or (options.only and name not in options.only):
            continue
        try:
            with threadpool_limits(1):
                row = retrieved(name, case, systems[case.planet], options.folder)
        except ArielflowError as error:
            print(f"{name}: {error}", flush=True)
            continue
        rows.append(row)
        pd.DataFrame(rows).to_csv(TABLE, index=False, float_format="%.5g")
        print({k: row[k] for k in list(row)[:10]}, flush=True)


if __name__ == "__main__":
    main()
