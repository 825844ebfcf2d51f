from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from report_content import HOSTILE_NAME, make_content, make_importance

from arielflow.core.errors import ArielflowError
from arielflow.core.files import write_dataset
from arielflow.core.schema import is_usable
from arielflow.data.shown_planets import shown_planets, typical_planets
from arielflow.evaluation.calibration.gain import Values, gain_table
from arielflow.evaluation.detection_tables import DetectionTables
from arielflow.report import ReportContent, build_report, load_content
from arielflow.report.calibration_section import calibration_section
from arielflow.report.content import true_samples
from arielflow.report.formatting import duration, flatten, latex_to_html, number, size
from arielflow.report.importance_section import importance_section
from arielflow.report.posterior_sections import corner_section
from arielflow.report.score_tables import leaderboard_table
from arielflow.retrieval.kept_draws import KeptDraws, with_kept_draws

SECTIONS = [
    *("run", "leaderboard", "submission", "quality", "data", "exploration"),
    *("representation", "disentangled", "training"),
    *("predictions", "calibration", "trust", "uncertainty", "importance_sampling", "posteriors"),
    "observed",
    *("importances", "benchmarks", "manifest"),
]


class Page(HTMLParser):
    """Identifiers, links and tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.identifiers: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.identifiers.append(value)
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                self.links.append(value)


@pytest.fixture(scope="module")
def content() -> ReportContent:
    return make_content()


@pytest.fixture(scope="module")
def text(content, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("report") / "index.html"
    build_report(content, path)
    return path.read_text()


def light(content: ReportContent, **changes: object) -> ReportContent:
    """The content without what takes long to draw, but for what is given."""
    mappings = ("histories", "calibration", "coverage", "posteriors", "observed_posteriors")
    rest = ("exploration", "representation", "disentangled", "train", "observed", "importances")
    return replace(content, **dict.fromkeys(rest) | {name: {} for name in mappings} | changes)


def build(content: ReportContent, folder) -> str:
    build_report(content, folder / "page.html")
    return (folder / "page.html").read_text()


def test_page_fetches_nothing(text):
    page = Page(text)
    assert page.links
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"url\((?![#'\"]?#)(?!['\"]?data:)", text)
    assert "@import" not in text
    assert not {"script", "link-stylesheet", "iframe"} & set(page.tags)


def test_every_section_is_there_and_identifiers_are_unique(text):
    page = Page(text)
    assert [i for i in page.identifiers if i in SECTIONS] == SECTIONS
    assert len(page.identifiers) == len(set(page.identifiers))
    local = {link[1:] for link in page.links if link.startswith("#")}
    assert local <= set(page.identifiers)


def test_names_are_escaped(text):
    assert HOSTILE_NAME not in text
    assert "&lt;script&gt;alert(1)" in text


def test_page_shows_score_share_of_the_ceiling_and_checksum(text):
    assert "912.5" in text and "903.5 – 920.5" in text
    assert "94.0 %" in text  # 912.5 / 971
    assert "ab" * 32 in text
    assert "c0ffee" in text


def test_calibration_says_what_an_exact_posterior_would_show(content, text, tmp_path):
    assert 'id="figure-coverage"' in text
    assert "one draw of the noise" in text and "for 12 planets an exact posterior" in text
    assert "narrower population" not in text
    config = {"dataset": {"prior": "wide"}, "simulation": {"population": "population"}}
    tables = {"calibration": content.calibration, "coverage": content.coverage}
    assert "narrower population" in build(light(content, config=config, **tables), tmp_path)


def test_leaderboard_shows_the_worst_planet(text):
    assert "Worst planet" in text and "612.2" in text


def test_only_a_submission_that_was_made_is_told_in_the_leaderboard(content):
    for submission, told in ((content.submission, 1), (None, 0)):
        table = leaderboard_table(replace(content, submission=submission))
        names = [str(row[0]) for row in table["rows"]]
        assert sum(">submitted<" in name for name in names) == told
        assert table["row_classes"].count("chosen") == 1


def test_importance_sampling_counts_planets_that_cannot_be_trusted(content, tmp_path):
    rows = make_importance(content.test, 7)
    config = {"importance": {"fallback": {"efficiency": 0.04, "pareto_shape": 0.6}}}
    section = importance_section(replace(content, posteriors=rows, config=config))
    assert "0.04" in section.intro and "0.6" in section.intro
    table, figure = section.blocks
    ((name, median, low, smallest, shape, fallen, warned, calls, seconds),) = table.rows
    assert name == "flow_importance" and float(low) < float(median)
    assert smallest.startswith("0.012<") and "public4" in smallest
    assert (shape, fallen, warned, calls, seconds) == ("1", "2", "0", "7,100", "12.5")
    assert figure.name == "importance_sampling"
    fitted = rows["flow_importance"].drop_vars("effective_samples", errors="ignore")
    warning = np.array(["", "the flow misses up to 40 %"] + [""] * (len(fitted["planet"]) - 2))
    fitted = fitted.assign(warning=("planet", warning.astype(object)))
    section = importance_section(replace(content, posteriors={"flow_variational": fitted}))
    assert section.blocks[0].rows[0][0] == "flow_variational"
    assert section.blocks[0].rows[0][section.blocks[0].header.index("warned [planets]")] == "1"
    named = [["flow_variational", str(fitted["planet"].values[1]), "the flow misses up to 40 %"]]
    assert section.blocks[-1].rows == named
    page = build(light(content, posteriors=rows, truth=None), tmp_path)
    assert 'id="figure-importance_sampling"' in page


def test_bins_are_left_out_of_typical_planets_where_draws_are_kept(content):
    rows = make_importance(content.test, 7)
    posterior, rng = rows["flow_importance_fallback"], np.random.default_rng(1)
    names = shown_planets(content.test, content.truth)
    bins = content.test["wavelength"].values
    kept = {}
    for position, planet in enumerate(posterior["planet"].values):
        if planet in names[:2]:
            by_bin = -0.05 * rng.standard_normal((200, len(bins))) ** 2
            by_bin[:, 9] = -4 * rng.standard_exponential(200)
            theta = rng.standard_normal((200, len(posterior["target"])))
            kept[position] = KeptDraws(theta, np.full(200, 1 / 200), by_bin)
    rows["flow_importance_fallback"] = with_kept_draws(posterior, kept, 200, bins)
    section = importance_section(replace(content, posteriors=rows))
    (table,) = [b for b in section.blocks if "left out" in getattr(b, "title", "")]
    assert [row[0] for row in table.rows] == names
    assert table.rows[2][1:] == [""] * 4
    for row in table.rows[:2]:
        assert float(row[2]) > 0 and row[3].startswith(f"{bins[9]:.2f} (")
        assert f"{bins[9]:.2f}" in row[4]


def test_maps_of_molecules_stand_beside_the_posteriors_of_their_planets(content, tmp_path):
    names = shown_planets(content.test, content.truth)
    wavelength_um = content.test["wavelength"].values
    alone = np.where(np.arange(len(wavelength_um)) == 9, 3.5, 0.0)
    rows = [
        *((names[0], "H2O", 8.125, wavelength_um[4], 6.5, np.nan),),
        *((names[0], "CO2", 3.75, wavelength_um[9], 0.25, "CO2 rests on the bin at 0.9 um alone"),),
        *((names[2], "H2O", np.nan, np.nan, np.nan, "not compared without it: no <draws>"),),
    ]
    columns = ["planet", "molecule", "log_bayes_factor", "leading_wavelength_um"]
    columns += ["log_bayes_factor_without_it", "warning"]
    bins = pd.concat(
        pd.DataFrame(
            {
                "planet": names[0],
                "molecule": molecule,
                "wavelength_um": wavelength_um,
                "elpd_loss": loss,
                "needs_refit": 0,
            }
        )
        for molecule, loss in {"H2O": np.full(len(alone), 0.2), "CO2": alone}.items()
    )
    tables = DetectionTables(pd.DataFrame(rows, columns=columns), bins)
    flow = {"flow": content.posteriors["flow"]}
    section = corner_section(light(content, posteriors=flow, detections={"flow": tables}))
    maps = [block for block in section.blocks if "detections" in getattr(block, "name", "")]
    assert [block.name for block in maps] == ["detections_flow_1"]
    assert maps[0].caption.startswith(f"Planet {names[0]}, flow: ")
    assert "Detected: H2O, CO2." in maps[0].caption
    assert len(maps[0].figure.axes[0].patches) == 1
    first, failed = [block for block in section.blocks if "left out" in getattr(block, "title", "")]
    water, carbon = first.rows
    assert water == ["H2O", "8.1", f"{wavelength_um[4]:.2f}", "6.5"] and carbon[3] == "0.2"
    assert first.row_classes == ["", "verdict-amber"]
    assert first.note.startswith("Warning: CO2 rests on the bin at 0.9 um alone. The log")
    assert failed.rows == [["H2O", "", "", ""]] and "no <draws>" in failed.note
    text = build(light(content, posteriors=flow, detections={"flow": tables}), tmp_path)
    assert 'id="figure-detections_flow_1"' in text and "no &lt;draws&gt;" in text
    without = build(light(content, posteriors=flow), tmp_path)
    assert "detections" not in without and "left out" not in without


def test_missing_inputs_are_explained(content, tmp_path):
    bare = ReportContent("A run", "bare", content.edition_title)
    assert build_report(bare, tmp_path / "page.html", tmp_path / "figures") == []
    text = (tmp_path / "page.html").read_text()
    page = Page(text)
    assert [i for i in page.identifiers if i in SECTIONS] == SECTIONS
    assert text.count('<p class="absent">') == len(SECTIONS)
    assert "svg" not in page.tags


def test_real_data_without_truth_show_posteriors_but_no_scores(content, tmp_path):
    test = content.test.assign(theta=content.test["theta"] * np.nan)
    flow = {"flow": content.posteriors["flow"]}
    bare = light(content, test=test, truth=None, leaderboard=None, posteriors=flow)
    text = build(bare, tmp_path)
    assert "only the organisers" in text
    assert 'id="figure-corner_1"' in text and 'id="figure-test_spectra"' in text
    assert 'id="figure-predicted_flow"' not in text


def test_truth_that_holds_only_theta_still_gives_corner_plots(content, tmp_path):
    none = content.truth.isel(obs=slice(0, 0))
    none["row_size"] = none["row_size"] * 0
    flow = {"flow": content.posteriors["flow"]}
    text = build(light(content, truth=none, posteriors=flow), tmp_path)
    assert 'id="figure-corner_3"' in text
    assert "the true posterior drawn" not in text


def test_published_rows_stand_below_the_runs_own(content, tmp_path):
    published = content.leaderboard.iloc[:1][["model", "final_score"]].assign(
        model="their network", reference="Someone 2020"
    )
    text = build(light(content, published=published), tmp_path)
    assert "their network" in text and "Someone 2020" in text
    assert text.index("their network") > text.index("prior<span")


def test_same_content_gives_the_same_bytes_and_figures_have_stable_names(content, text, tmp_path):
    written = build_report(content, tmp_path / "page.html", tmp_path / "figures")
    assert (tmp_path / "page.html").read_text() == text
    names = {path.name for path in written}
    assert {"explained_variance.svg", "loadings.svg", "leaderboard.svg", "corner_1.svg"} <= names
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    assert all(b"<svg" in path.read_bytes() for path in written)


def test_content_loads_from_files(content, tmp_path):
    for name in ("train", "test", "exploration", "truth"):
        write_dataset(getattr(content, name), tmp_path / f"{name}.nc")
    write_dataset(content.posteriors["flow"], tmp_path / "flow.nc")
    content.leaderboard.to_csv(tmp_path / "leaderboard.csv", index=False)
    content.quality.to_csv(tmp_path / "quality.csv", index=False)
    (tmp_path / "manifest.json").write_text(json.dumps(content.manifest))
    (tmp_path / "flow.hdf5").write_bytes(b"submission")
    (tmp_path / "benchmarks" / "train").mkdir(parents=True)
    (tmp_path / "benchmarks" / "train" / "flow.tsv").write_text("s\tmax_rss\n12.5\t-\n")
    loaded = load_content(
        title="A run",
        run="tiny",
        edition_title="edition",
        chosen="flow",
        train=tmp_path / "train.nc",
        test=tmp_path / "test.nc",
        exploration=tmp_path / "exploration.nc",
        truth=tmp_path / "truth.nc",
        posteriors={"flow": tmp_path / "flow.nc"},
        leaderboard=tmp_path / "leaderboard.csv",
        quality=[tmp_path / "quality.csv"],
        manifest=tmp_path / "manifest.json",
        submissions={"regular": tmp_path / "flow.hdf5"},
        submission_faults={"regular": ["planet 3: NaN"]},
        submission_warnings={"regular": ["all samples are equal"]},
        benchmarks=tmp_path / "benchmarks",
    )
    assert loaded.exploration.identical(content.exploration)
    text = build(replace(loaded, exploration=None, train=None), tmp_path)
    assert (
        "planet 3: NaN; warning: all samples are equal" in text
        and "12.5 s" in text
        and "train/flow" in text
    )
    assert 'id="figure-corner_1"' in text
    samples, weight = true_samples(loaded.truth, "public4")
    expected = content.posteriors["flow"].sizes["sample"]
    assert samples.shape == (expected, content.test.sizes["target"]) and len(weight) == expected


def test_missing_and_broken_files_are_one_line_faults(tmp_path):
    words = {"title": "A run", "run": "tiny", "edition_title": "edition"}
    with pytest.raises(ArielflowError, match=r"none\.nc: no such file"):
        load_content(**words, posteriors={"flow": tmp_path / "none.nc"})
    (tmp_path / "broken.nc").write_bytes(b"not a NetCDF file")
    with pytest.raises(ArielflowError, match="not a readable NetCDF"):
        load_content(**words, truth=tmp_path / "broken.nc")


def test_typical_planets_are_usable_and_ordered_by_strength(content):
    names = typical_planets(content.test, 3)
    usable = set(content.test["planet"].values[is_usable(content.test)])
    assert len(set(names)) == 3 and set(names) <= usable
    depth = content.test["transit_depth"].sel(planet=names).values
    assert (np.diff(np.ptp(depth, axis=1)) > 0).all()


@pytest.mark.parametrize(
    ("latex", "html"),
    [
        (r"$T_\mathrm{p}$", "T<sub>p</sub>"),
        (
            r"$\log_{10} X_{\mathrm{H_{2}O}}$",
            "log<sub>10</sub> X<sub>H<sub>2</sub>O</sub>",
        ),
        (r"$\log_{10} \kappa_0$", "log<sub>10</sub> κ<sub>0</sub>"),
        ("$a<b^2$", "a&lt;b<sup>2</sup>"),
    ],
)
def test_latex_symbols_become_html(latex, html):
    assert latex_to_html(latex) == html


def test_numbers_for_people():
    assert [size(n) for n in (12, 5_300_000)] == ["12 B", "5.3 MB"]
    assert [duration(s) for s in (12.34, 75, 7384)] == ["12.3 s", "1 min 15 s", "2 h 3 min"]
    assert flatten({"a": {"b": [1, 2]}, "c": [{"d": None}]}) == [("a.b", "1, 2"), ("c[0].d", "")]


def test_gains_of_recalibration_are_told_with_their_intervals(content) -> None:
    targets = [str(name) for name in content.test["target"].values]
    rng = np.random.default_rng(1)
    before, after = (
        Values(rng.random((80, len(targets))), rng.random(80), np.full(80, energy))
        for energy in (0.04, 0.03)
    )
    table = gain_table(before, after, tuple(targets), seed=1)
    section = calibration_section(replace(content, recalibration={"flow": table}))
    (block,) = (b for b in section.blocks if "Recalibration of" in str(getattr(b, "title", "")))
    assert block.rows[-1][:3] == ["energy score [1]", "0.04000", "0.03000"]
    assert "0.01000" in block.rows[-1][3]
    assert "80 simulated planets" in block.note
    # Of real data there are no true parameters, but there is a gain.
    real = replace(content, calibration={}, coverage={}, recalibration={"flow": table})
    assert len(calibration_section(real).blocks) == 1


def test_numbers_of_cells():
    assert [number(value, 0) for value in (-0.3, -1234.5, None, np.nan)] == ["0", "−1,234", "", ""]
