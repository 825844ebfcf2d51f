"""Figures of one spectrum's retrieval."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from arielflow.plotting.spectra import corner_figure, profile_figure, spectrum_figure

BAND = {"low_95": 0.97, "low_68": 0.99, "median": 1.0, "high_68": 1.01, "high_95": 1.03}


def points(n: int, names: list[str], *, low_um: float = 1.0, high_um: float = 5.0) -> pd.DataFrame:
    wavelength_um = np.geomspace(low_um, high_um, n)
    return pd.DataFrame(
        {
            "wavelength_um": wavelength_um,
            "width_um": 0.02 * wavelength_um,
            "depth": 0.012,
            "error_low": 1e-4,
            "error_high": 3e-4,
            "offset": np.where(np.arange(n) % 2, 1e-3, 0.0),
            "instrument": [names[i % len(names)] for i in range(n)],
            "model_median": 0.012,
            "residual_sigma": np.linspace(-2, 30, n),
        }
    )


def curve() -> pd.DataFrame:
    drawn = pd.DataFrame({"wavelength_um": np.geomspace(0.9, 6, 60)})
    drawn = drawn.assign(**{name: 0.012 * factor for name, factor in BAND.items()})
    drawn.loc[20, list(BAND)] = np.nan
    return drawn


def draw(figure) -> None:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=40)
    assert stream.tell() > 1000


def test_spectrum_figure_labels_units_and_instruments():
    figure = spectrum_figure(points(20, ["A", "B$_{x"]), curve())
    above, below = figure.axes
    draw(figure)
    assert above.get_ylabel() == "transit depth [%]" and "[σ]" in below.get_ylabel()
    assert below.get_xlabel() == "wavelength [µm]" and below.get_xscale() == "log"
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[-2:] == ["A", r"B\$_{x"]
    first, second = (container for container in above.containers)
    assert first.lines[0].get_ydata() == pytest.approx(1.2)
    # Of the second instrument the offset is taken from the depth.
    assert second.lines[0].get_ydata() == pytest.approx(1.1)
    # Errors downwards and upwards are not the same.
    segment = first.lines[2][1].get_segments()[0][:, 1]
    np.testing.assert_allclose(segment, [1.2 - 0.01, 1.2 + 0.03])


def test_far_residuals_stay_inside_the_panel():
    figure = spectrum_figure(points(20, ["A"]), curve())
    low, high = figure.axes[1].get_ylim()
    assert high < 10 and low == -high
    inside = figure.axes[1].containers[0].lines[0].get_ydata()
    assert inside.max() < high


def test_narrow_and_single_spectra_are_drawn():
    narrow = spectrum_figure(points(3, ["A"], low_um=1.2, high_um=1.3), curve())
    assert narrow.axes[1].get_xscale() == "linear"
    draw(narrow)
    draw(spectrum_figure(points(12, [f"{i} " + "long name " * 9 for i in range(12)]), curve()))


@pytest.mark.parametrize("n", [1, 2, 7])
def test_corner_figure(n):
    samples = np.random.default_rng(1).standard_normal((500, n))
    figure = corner_figure(samples, [f"p{i} [K]" for i in range(n)])
    draw(figure)
    assert len(figure.axes) == n * n
    last = figure.axes[n * n - 1]
    assert last.get_xlabel() == f"p{n - 1} [K]" and last.get_title()
    assert min(tick.label1.get_fontsize() for tick in last.xaxis.get_major_ticks()) >= 8


def test_corner_figure_of_a_constant_parameter_and_of_few_samples():
    samples = np.random.default_rng(1).standard_normal((50, 2))
    samples[:, 1] = 3.0
    draw(corner_figure(samples, ["a", "b"]))
    draw(corner_figure(samples[:3], ["a", "b"]))
    draw(corner_figure(samples[:1], ["a", "b"]))


def test_profile_figure_has_pressure_falling_upwards():
    profile = pd.DataFrame({"pressure_bar": np.geomspace(10, 1e-6, 20)})
    profile = profile.assign(**{name: 1000 * factor for name, factor in BAND.items()})
    figure = profile_figure(profile)
    axes = figure.axes[0]
    draw(figure)
    assert axes.get_ylim() == pytest.approx((10, 1e-6)) and axes.get_yscale() == "log"
    assert axes.get_xlabel() == "temperature [K]" and axes.get_ylabel() == "pressure [bar]"
