"""The page of a run with detector frames, of a small twin's planets."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from frame_run import EDITION, HOSTILE_LINE, leaderboard, make_frame_run, spectra

from arielflow.editions import get_frame_edition
from arielflow.frames.quality import FrameQuality
from arielflow.report.frames_page import FLAG_WORDS, FrameReportInputs, write_frame_report
from arielflow.report.frames_spectra import spectra_section

SECTIONS = [
    *("run", "leaderboard", "submission", "quality", "images", "light_curves", "noise"),
    *("spectra", "benchmarks", "manifest"),
]
FIGURES = {
    *("leaderboard", "noise_against_time", "extracted_spectra"),
    *(f"{name}{end}" for end in ("", "_2")
      for name in ("detector_images", "light_curves", "flux_map", "image_positions")),
}  # fmt: skip


class Page(HTMLParser):
    """Identifiers, links and tags of a page, and what stands in the cells of its tables."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.identifiers: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self._in_cell = False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._in_cell = True
        for name, value in attributes:
            if name == "id":
                self.identifiers.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.links.append(value)

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._in_cell:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> FrameReportInputs:
    return make_frame_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def written(inputs, tmp_path_factory) -> tuple[str, Path, list[Path]]:
    folder = tmp_path_factory.mktemp("out")
    files = write_frame_report(inputs, folder / "report" / "index.html", folder / "figures")
    return (folder / "report" / "index.html").read_text(), folder / "figures", files


def page_of(inputs: FrameReportInputs, folder: Path) -> str:
    write_frame_report(inputs, folder / "index.html", folder / "figures")
    return (folder / "index.html").read_text()


def bare(inputs: FrameReportInputs, **changes: object) -> FrameReportInputs:
    """The inputs without what takes long to draw, but for what is given."""
    return replace(inputs, **{"curves": (), "spectra": {}, "truth": None} | changes)


def test_sections_and_links(written):
    page = Page(written[0])
    assert [name for name in page.identifiers if name in SECTIONS] == SECTIONS
    assert len(page.identifiers) == len(set(page.identifiers))
    assert page.links and all(link.startswith(("#", "data:")) for link in page.links)
    assert {link[1:] for link in page.links if link[0] == "#"} <= set(page.identifiers)
    assert not re.search(r"url\((?![#'\"]?#)(?!['\"]?data:)", written[0])
    assert not {"script", "iframe", "b"} & set(page.tags)
    assert 'class="absent"' not in written[0]


def test_figures_are_files_too(written):
    text, folder, files = written
    assert {path.stem for path in folder.iterdir()} == FIGURES
    assert sorted(files) == sorted(folder.iterdir())
    assert all(path.read_bytes().startswith(b"<?xml") for path in files)
    assert all(f'id="figure-{name}"' in text for name in FIGURES)


def test_scores(written):
    rows = Page(written[0]).rows
    best, floor = (next(row for row in rows if row[:1] == [name])
                   for name in ("box_baselinesubmitted", "constantreference"))  # fmt: skip
    assert best[1:4] == ["0.4120.350 – 0.460", "0.412", "−1.234102"]
    assert floor[1] == "0.0000.000 – 0.000"
    assert "averaged with the official weights" in written[0]


def test_flagged_planets_come_first_with_their_reasons(inputs, tmp_path):
    good = pd.DataFrame(
        {"planet_id": [str(n) for n in range(300, 350)], "visits": 1, "quality": 0, "flags": "",
         "notes": ""}
    )  # fmt: skip
    quality = {"train": pd.concat([good, inputs.quality["train"]]), "test": inputs.quality["test"]}
    text = page_of(bare(inputs, quality=quality), tmp_path)
    rows = Page(text).rows
    start = rows.index(["planet", "split", "visits", "flags", "reasons"])
    first, second, third, fourth = rows[start + 1 : start + 5]
    assert first[:4] == ["101", "train", "1", "few frames"]
    assert second[:3] == ["102", "train", "2"] and "missing calibration" in second[3]
    assert "dead.parquet: missing" in second[4] and "visit 1" in second[4]
    assert third[:2] == ["201", "test"] and "unreadable signal" in third[3]
    assert fourth == ["300", "train", "1", "good", ""]
    assert len(rows[start:]) >= 41 and "13 more rows in the file." in text
    assert ["few frames", "fewer frames than a visit has", "2", "0"] in rows
    assert "53 planets were calibrated; 3 bear a flag" in text


def test_every_flag_has_its_words():
    assert set(FLAG_WORDS) == set(FrameQuality)


def test_submission_and_what_was_found_in_it(inputs, written, tmp_path):
    text = written[0]
    assert HOSTILE_LINE not in text and "valid; warning: planet &lt;b&gt;201" in text
    assert "for one planet without a spectrum: 201" in text and "1 warning<" in text
    broken = {"valid": False, "faults": {"other name": ["line 3: sigma_1 is NaN"]}}
    text = page_of(bare(inputs, check=broken), tmp_path)
    assert "NOT VALID" in text and "line 3: sigma_1 is NaN" in text
    text = page_of(bare(inputs, check={"valid": False, "faults": {}}), tmp_path)
    assert ">not valid<" in text
    assert ">not checked<" in page_of(bare(inputs, check=None), tmp_path)


def test_images_light_curves_and_noise(written):
    text = written[0]
    assert text.count("Shown: planets 101, 102; without any light curve: 201.") == 2
    assert "<summary>Planet 102: light curves</summary>" in text
    rows = Page(text).rows
    shown = [row[0] for row in rows if "visit " in row[0]]
    assert shown == [
        f"{planet}visit {visit}, {sensor.name}"
        for planet, visit in ((101, 0), (102, 0), (102, 1))
        for sensor in EDITION.sensors
    ]
    noise = next(row for row in rows if row[0] == "planet 101AIRS-CH0")
    # White noise of the twin: what photons and reads explain, within what eight bins tell.
    assert 0.3 < float(noise[3]) < 3


def test_spectra_beside_the_truth(inputs, written):
    rows = Page(written[0]).rows
    fgs1, airs = (row for row in rows if row[0].startswith("box_baseline") and len(row) == 6)
    assert (fgs1[0], airs[0]) == ("box_baselineFGS1", "box_baselineAIRS-CH0")
    error = 1e6 * (inputs.spectra["box_baseline"]["depth"].values - inputs.truth.values)[:, 1:]
    assert float(airs[1].replace("−", "-")) == pytest.approx(error.mean(), abs=0.5)
    assert float(airs[2]) == pytest.approx(np.sqrt((error**2).mean()), abs=0.5)
    assert 0.9 < float(airs[4]) < 1.1


def test_planets_run_from_the_best_to_the_worst_and_rows_by_score():
    names = [f"p{number}" for number in range(9)]
    depth = np.full((9, EDITION.n_channels), 0.01)
    found = spectra(names, depth)
    scale = np.array([3, 9, 1, 8, 2, 7, 4, 6, 5.0])[:, np.newaxis]
    exact = found["box_baseline"].copy()
    exact["depth"] = exact["depth"] * 0 + 0.01 + scale * exact["sigma"]
    exact["fallback"][1] = 1
    rows = {**found, **{f"row_{n}": found["box_baseline"] for n in range(3)}, "exact": exact}
    board = pd.DataFrame({"model": list(rows), "score": [0.1, 0, 0.2, 0.3, 0.4, 0.5]})
    truth = xr.DataArray(depth, dims=("planet", "channel"), coords={"planet": names})
    section = spectra_section(EDITION, rows, truth[::-1], "exact", board)
    table, figure = section.blocks
    titles = [axes.get_title() for axes in figure.figure.axes if axes.get_title()]
    # That which the floor answered for, p1, would be the worst.
    assert titles == ["planet p2 · 1.00 σ", "planet p0 · 3.00 σ", "planet p8 · 5.00 σ",
                      "planet p3 · 8.00 σ"]  # fmt: skip
    legend = [text.get_text() for text in figure.figure.legends[0].get_texts()]
    assert legend == ["exact", "row_2", "row_1", "truth"]
    assert "without box_baseline, row_0" in section.intro
    assert [str(row[0]).split("<")[0] for row in table.rows[::2]] == [
        *("exact", "row_2", "row_1", "box_baseline", "row_0")
    ]


def test_what_is_not_there_is_left_out_with_a_remark(inputs, tmp_path):
    empty = FrameReportInputs(config={"run": "nothing"}, edition=get_frame_edition("adc2024"))
    text = page_of(empty, tmp_path)
    assert text.count('<p class="absent">') == len(SECTIONS) - 1
    dark = bare(inputs, curves=inputs.curves[-1:], leaderboard=leaderboard().iloc[1:])
    text = page_of(replace(dark, spectra={"constant": inputs.spectra["constant"]}), tmp_path)
    for words in ("No planet with an image", "No light curve was", "No row but the floor"):
        assert words in text


def test_spectra_without_truth(inputs, tmp_path):
    text = page_of(bare(inputs, spectra=inputs.spectra), tmp_path)
    assert 'id="figure-extracted_spectra"' in text and "rms error" not in text
