"""The files of one spectrum's retrieval, and its page."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import yaml
from spectrum_results import HOSTILE, make_result, planet

from arielflow.core.errors import ArielflowError
from arielflow.report.spectrum_findings import Findings
from arielflow.report.spectrum_outputs import write_outputs
from arielflow.report.spectrum_page import warnings

FILES = [
    *("posterior.nc", "parameters.csv", "instruments.csv", "spectrum.csv", "spectrum.png"),
    *("corner.png", "profile.png", "summary.json", "report.html"),
]


class Page(HTMLParser):
    """Tags and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.labels: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "data"):
                self.links.append(value)
            if tag == "svg" and name == "aria-label":
                self.labels.append(value)


@pytest.fixture(scope="module")
def written(opacities, tmp_path_factory):
    folder = tmp_path_factory.mktemp("outputs") / "new"
    folder.mkdir()
    (folder / "notes.txt").write_text("the user's")
    described = folder.parent / "planet.yaml"
    described.write_text(yaml.safe_dump(planet(profile=True)))
    result = make_result(opacities, profile=True)
    return write_outputs(result, folder, seed=7, planet_file=described), folder


def test_all_files_are_written_and_no_others(written):
    paths, folder = written
    assert list(paths) == FILES
    assert {p.name for p in folder.iterdir()} == {*FILES, "notes.txt"}
    assert (folder / "notes.txt").read_text() == "the user's"
    assert all(paths[name].read_bytes()[:4] == b"\x89PNG" for name in FILES if "png" in name)


def test_tables(written):
    paths, _ = written
    spectrum = pd.read_csv(paths["spectrum.csv"])
    assert len(spectrum) == 16 and spectrum.notna().all().all()
    assert set(spectrum["instrument"]) == {"WFC3", HOSTILE}
    parameters = pd.read_csv(paths["parameters.csv"], keep_default_na=False)
    assert "log_H2O" in set(parameters["parameter"])
    assert list(pd.read_csv(paths["instruments.csv"])["instrument"]) == ["WFC3", HOSTILE, "all"]


def test_summary_is_strict_json(written):
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    paths, _ = written
    summary = json.loads(paths["summary.json"].read_text(), parse_constant=refuse)
    assert summary["planet"] == "Made-up <i>b</i>" and summary["seed"] == 7
    assert summary["files"] == FILES
    assert summary["parameters"]["planet_radius"]["unit"] == "Rjup"
    assert summary["instruments"]["WFC3"]["points"] == 8
    assert summary["notes"][0] == "half widths <doubled>"


def test_page_fetches_nothing_and_links_to_the_files(written):
    paths, folder = written
    text = paths["report.html"].read_text()
    page = Page(text)
    outside = {link for link in page.links if not link.startswith(("#", "data:"))}
    assert outside == set(FILES) - {"report.html"}
    assert all((folder / link).is_file() for link in outside)
    assert not {"script", "iframe", "b"} & set(page.tags) and "i" not in page.tags
    assert not re.search(r"url\((?![#'\"]?#)(?!['\"]?data:)", text) and "@import" not in text
    assert len(page.labels) == 3 and all(len(label) > 20 for label in page.labels)


def test_page_shows_what_was_found(written):
    text = written[0]["report.html"].read_text()
    for words in ("Made-up &lt;i&gt;b", "half widths &lt;doubled&gt;", "G395H/&lt;b&gt;$_ü",
                  "uniform from 0.9 to 1.5 Rjup", "Temperature profile",
                  "atmosphere.temperature.points.pressures"):  # fmt: skip
        assert words in text
    assert text.index('id="warnings"') < text.index('id="spectrum"')


def test_outputs_without_profile_and_planet_file(opacities, tmp_path):
    result = replace(make_result(opacities, n=40), pareto_shape=np.nan, sampling_efficiency=np.nan)
    paths = write_outputs(result, tmp_path / "a" / "b", seed=1)
    assert list(paths) == [name for name in FILES if name != "profile.png"]
    assert json.loads(paths["summary.json"].read_text())["pareto_shape"] is None


def test_a_file_in_the_folder_s_place_is_refused(opacities, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(ArielflowError, match="taken: is a file, expected a folder"):
        write_outputs(make_result(opacities, n=2), tmp_path / "taken", seed=1)


def test_warnings(opacities):
    result = make_result(opacities, n=100)

    def topics(**changes: object) -> list[str]:
        return [topic for topic, _ in warnings(Findings.of(replace(result, **changes), 1))]

    assert topics(effective_samples=1000.0) == []
    assert topics(effective_samples=20.0) == ["sampling"]
    assert topics(effective_samples=1000.0, pareto_shape=0.9) == ["sampling"]
    note = ("nested sampling took over",)
    assert topics(effective_samples=1000.0, method="nested", notes=note) == []
    spectrum = replace(result.model.spectrum, depth=result.model.spectrum.depth[::-1] * 1.1)
    model = type(result.model)(result.model.physics, result.model.description, spectrum)
    assert topics(effective_samples=1000.0, model=model) == ["fit"]
    hot = result.samples.copy()
    hot[:, result.model.names.index("temperature")] += 2000
    assert "temperature" in topics(effective_samples=1000.0, samples=hot)
