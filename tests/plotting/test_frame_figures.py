"""What the figures of detector frames show of given numbers."""

from __future__ import annotations

import numpy as np
from frame_figures import AIRS_UM, FRAME_FIGURES, SPECTRUM_UM

from arielflow import plotting
from arielflow.plotting.svg import svg_bytes


def test_masked_pixels_are_marked_at_their_wavelength() -> None:
    _, airs = FRAME_FIGURES["detector_images"]().axes[:2]
    (crosses,) = airs.lines
    # The last column of a descending axis is the shortest wavelength.
    assert (crosses.get_xdata(), crosses.get_ydata()) == (AIRS_UM[0], 1)
    cells = airs.collections[0].get_array()
    assert np.ma.getmaskarray(cells).sum() == 1 and np.ma.getmaskarray(cells)[1, 0]
    assert cells[3, 0] == 1e5 and cells[3, -1] == 1e3
    assert "1 of 72 pixels left out" in airs.get_title(loc="left")


def test_an_image_without_any_pixel_that_counts_is_drawn() -> None:
    dark = {"FGS1": np.zeros((4, 4))}
    figure = plotting.detector_images(dark, {"FGS1": np.zeros((4, 4), bool)}, {})
    figure.canvas.draw()
    assert len(figure.axes[0].lines[0].get_xdata()) == 16


def test_images_fill_the_figure_without_masked_pixels_too() -> None:
    images = {"FGS1": np.ones((4, 4)), "AIRS-CH0": np.ones((4, 12))}
    usable = {name: np.ones(image.shape, bool) for name, image in images.items()}
    figure = plotting.detector_images(images, usable, {"AIRS-CH0": AIRS_UM})
    svg_bytes(figure, "images")
    assert figure.axes[1].get_position().width > 0.4


def test_every_visit_is_in_the_light_curves() -> None:
    figure = FRAME_FIGURES["light_curves"]()
    assert [len(axes.containers) for axes in figure.axes] == [2, 2]
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert names == ["visit 0", r"visit \$1"]
    alone = plotting.light_curves(
        np.arange(3.0), {"FGS1": np.ones((1, 3))}, {"FGS1": np.ones((1, 3))}, ["visit 0"]
    )
    assert alone.axes[0].get_legend() is None


def test_positions_are_shown_against_their_median() -> None:
    rows, columns = FRAME_FIGURES["image_positions"]().axes
    assert len(rows.lines) == 2 and len(columns.lines) == 1
    first, second = (line.get_ydata() for line in rows.lines)
    assert abs(np.median(first)) < 1e-12 and np.allclose(first, second)


def test_spectra_are_shown_beside_the_truth_in_parts_per_million() -> None:
    figure = FRAME_FIGURES["extracted_spectra"]()
    first, rest = figure.axes[:2]
    assert [line.get_label() for line in rest.lines] == ["box", "truth"]
    assert np.allclose(rest.lines[1].get_ydata(), 1e4)
    assert np.array_equal(rest.lines[0].get_xdata(), SPECTRUM_UM[1:])
    assert first.get_ylim() == rest.get_ylim() and len(figure.axes) == 6
    unknown = plotting.extracted_spectra(
        SPECTRUM_UM, {"a": np.full((1, 13), 0.01)}, {"a": np.full((1, 13), 1e-4)}, None, ["x"]
    )
    assert [line.get_label() for line in unknown.axes[1].lines] == ["a"]
    low, high = unknown.axes[1].get_ylim()
    assert high - low >= 100
