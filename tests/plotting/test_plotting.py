from __future__ import annotations

import io
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from frame_figures import FRAME_FIGURES
from report_content import make_content, make_importance

from arielflow import plotting
from arielflow.evaluation.explain.bands import BANDS
from arielflow.plotting import style
from arielflow.plotting.svg import svg_bytes
from arielflow.report.content import planet_samples, true_samples

CONTENT = make_content()
WITHOUT_UNIT = {
    "quality flag",
    "model",
    "method",
    "target",
    "band whose bins are exchanged",
    "group of planets",
    "column",
    "fault",
    "part of the model",
    "absorber",
}


def one_planet(posteriors):
    return {name: planet_samples(posterior, "public4") for name, posterior in posteriors.items()}


def drifted() -> pd.DataFrame:
    """Drift of three columns."""
    return pd.DataFrame(
        {
            "column": ["star radius", "planet mass", "depth"],
            "wavelength_um": [1.0, 2.0, 4.0],
            "shift": [0.1, -0.2, 0.5],
            "shift_low": [0.0, -0.3, 0.4],
            "shift_high": [0.2, -0.1, 0.6],
            "ks_distance": [0.1, 0.2, 0.3],
            "q_value": [0.5, 0.02, 0.001],
        }
    )


def importance_planets(content):
    names = ("sampling_efficiency", "pareto_shape", "fallen_back")
    row = make_importance(content.test, 7)["flow_importance_fallback"]
    return row[list(names)].to_dataframe()[list(names)]


FIGURES = {
    "quality_counts": lambda c: plotting.quality_counts({"train": c.train, "test": c.test}),
    "population": lambda c: plotting.population({"train": c.train, "test": c.test}),
    "spectra_gallery": lambda c: plotting.spectra_gallery(c.test, ["public3", "public4"]),
    "explained_variance": lambda c: plotting.explained_variance(c.exploration),
    "loadings": lambda c: plotting.loadings(c.exploration),
    "independent_components": lambda c: plotting.independent_components(c.exploration),
    "scores_by_target": lambda c: plotting.scores_by_target(c.exploration),
    "mean_versus_scatter": lambda c: plotting.mean_versus_scatter(c.exploration),
    "silhouettes": lambda c: plotting.silhouettes(c.exploration),
    "clusters": lambda c: plotting.clusters(c.exploration),
    "training_curves": lambda c: plotting.training_curves(c.histories),
    "leaderboard_chart": lambda c: plotting.leaderboard_chart(
        c.leaderboard, "final_score", "Final score [0…1000]"
    ),
    "predicted_versus_true": lambda c: plotting.predicted_versus_true(
        c.test,
        np.quantile(c.posteriors["flow"]["theta"].values, [0.16, 0.5, 0.84], 1).swapaxes(0, 1),
        c.test["theta"].values,
    ),
    "coverage_curves": lambda c: plotting.coverage_curves(c.coverage, c.test, 12),
    "coverage_by_group": lambda c: plotting.coverage_by_group(grouped(c.test), c.test),
    "recalibration_maps": lambda c: plotting.recalibration_maps(
        np.linspace(0.1, 0.9, 5), np.full((5, c.test.sizes["target"]), 0.5), c.test
    ),
    "importance_quality": lambda c: plotting.importance_quality(
        {"flow_importance": importance_planets(c)}, 0.05, 0.7
    ),
    "feature_importances": lambda c: plotting.feature_importances(c.importances, c.test),
    "corner_plot": lambda c: plotting.corner_plot(
        c.test,
        one_planet(c.posteriors),
        true_samples(c.truth, "public4"),
        c.test["theta"].sel(planet="public4").values,
    ),
    "posterior_beside_literature": lambda c: plotting.posterior_beside_literature(
        c.test, one_planet(c.posteriors), next(iter(c.literature.values()))
    ),
}

FIT = xr.Dataset(
    {
        "fitted_depth": CONTENT.test["transit_depth"] * 1.01,
        "residual_rms_sigma": ("planet", np.linspace(0.5, 3, CONTENT.test.sizes["planet"])),
    }
)
FIGURES |= {
    "fitted_spectra": lambda c: plotting.fitted_spectra(
        c.test.isel(planet=slice(0, 2)), {"built-in": FIT.isel(planet=slice(0, 2))}
    ),
    "opacity_comparison": lambda c: plotting.opacity_comparison(
        c.test["wavelength"].values,
        {"H2O": dict.fromkeys(("a", "b"), np.full((2, c.test.sizes["wavelength"]), 1e-21))},
        [1e2, 1e5],
    ),
    "band_differences": lambda _: plotting.band_differences(
        {"H2O": np.array([[1.0, 1.5], [4.0, 5.0]])},
        {"H2O": {"500 K": np.array([0.3, -0.6]), "2000 K": np.array([0.1, np.nan])}},
        0.5,
    ),
    "predicted_spectrum": lambda c: plotting.predicted_spectrum(
        c.test.isel(planet=[0]),
        {"flow": c.test["transit_depth"].values[:1] * np.linspace(0.99, 1.01, 20)[:, None]},
        np.random.default_rng(0).standard_normal((20, c.test.sizes["wavelength"])),
    ),
    "residual_distributions": lambda _: plotting.residual_distributions(
        {"built-in": np.append(FIT["residual_rms_sigma"].values, np.nan)}
    ),
    "residuals_by_wavelength": lambda c: plotting.residuals_by_wavelength(
        c.test["wavelength"].values,
        {"built-in": 0.01 * c.test["transit_depth"].values},
        c.test["transit_depth_error"].values,
    ),
}


def grouped(planets):
    """Calibration by groups, one of which is over-confident."""
    groups = [("all", "all planets"), ("temperature", "500 to 900"), ("detectable", "no")]
    rows = [
        {"covariate": covariate, "group": group, "target": target, "outside": group == "no"}
        for covariate, group in groups
        for target in planets["target"].values
    ]
    limits = {"coverage_68": 0.66, "coverage_68_low": 0.65, "coverage_68_high": 0.71}
    return pd.DataFrame(rows).assign(**limits)


def comparison(content):
    """What comparisons of representations hold, of the test planets."""
    planets, random = content.test, np.random.default_rng(0)
    names, dimension = ["pca", "autoencoder"], [2, 5]
    n, shape = planets.sizes["planet"], (len(names), len(dimension))
    return xr.Dataset(
        {
            "rms_test": (("model", "dimension"), random.uniform(0.1, 1, shape)),
            "rms_valid": (("model", "dimension"), random.uniform(0.1, 1, shape)),
            "chosen_dimension": ("model", [5, 2]),
            "theta": planets["theta"],
            "cluster_label": ("planet", np.arange(n) % 2),
            "twin_distance": (("model", "pair"), random.uniform(0, 1, (2, 50))),
            "random_distance": (("model", "pair"), random.uniform(0, 4, (2, 50))),
        },
        coords={
            **{"model": names, "dimension": dimension},
            "latent": (("planet", "latent"), random.standard_normal((n, 5))),
        },
        attrs={"best": "autoencoder", "dimension": 5},
    )


def clouds():
    """What an evaluation of the compressed chemistry holds."""
    random = np.random.default_rng(1)
    grid, shape = ("cloud", "time", "species"), (3, 7, 2)
    return xr.Dataset(
        {
            name: (grid, random.uniform(1e-6, 1e-4, shape))
            for name in ("abundance", "predicted", "relative_error")
        }
        | {"latent": (("cloud", "time", "latent"), random.uniform(0, 1, (3, 7, 4)))},
        coords={"time": np.logspace(0, 6, 7), "species": ["CO", "H2O"]},
    )


FIGURES |= {
    "representation_error": lambda c: plotting.representation_error(comparison(c)),
    "latent_by_target": lambda c: plotting.latent_by_target(comparison(c)),
    "latent_by_cluster": lambda c: plotting.latent_by_cluster(comparison(c)),
    "twin_distances": lambda c: plotting.twin_distances(comparison(c)),
    "abundance_trajectories": lambda _: plotting.abundance_trajectories(clouds(), ["CO", "H2O"]),
    "abundance_errors": lambda _: plotting.abundance_errors(clouds()),
    "latent_trajectories": lambda _: plotting.latent_trajectories(clouds()),
    "detection_map": lambda _: plotting.detection_map(
        np.array([1.0, 2.0, 4.0]), {"H2O": np.array([0.1, 2.0, np.nan]), "CO2": np.ones(3)}
    ),
    "drift_by_bin": lambda _: plotting.drift_by_bin(drifted(), drifted()),
    "drift_scores": lambda _: plotting.drift_scores(
        np.linspace(0, 1, 20), np.arange(20) % 2 == 0, 0.5
    ),
    "drift_of_parameters": lambda _: plotting.drift_of_parameters(drifted()),
    "fault_power": lambda _: plotting.fault_power(
        pd.DataFrame(
            {
                "fault": ["haze", "haze"],
                "chi2_low": [1, 10],
                "chi2_high": [10, 100],
                "auroc_certificate": [0.6, 0.95],
                "red": [0.02, 0.8],
            }
        ),
        {"haze": "haze", "cloud": "clouds"},
    ),
    "absorber_shares": lambda _: plotting.absorber_shares(
        {"red": pd.DataFrame({"H2O": [0.2], "CO2": [0.7]}, index=["k-tables"])}
    ),
    "bin_alarms": lambda _: plotting.bin_alarms(
        {"fine": np.geomspace(0.6, 7, 9), "coarse": np.geomspace(0.6, 7, 4)},
        {"fine": np.full(9, 0.1), "coarse": np.full(4, 0.2)},
        {"fine": np.full(9, 0.3), "coarse": np.zeros(4)},
    ),
    "opacity_corrections": lambda _: plotting.opacity_corrections(
        np.geomspace(0.6, 7, 9),
        {"k-tables": {name: np.full((2, 9), 0.1) for name in ("H2O", "CO2", "CO")}},
    ),
    "test_probabilities": lambda _: plotting.test_probabilities(
        {"residuals": {"chi2": np.linspace(0.01, 1, 20)}, "posterior": {"excess": np.ones(3)}}
    ),
    "spread_parts": lambda c: plotting.spread_parts(
        {
            "bnn": xr.Dataset(
                {
                    name: (("planet", "target"), 0.01 + 0.1 * np.abs(c.test["theta"].values))
                    for name in ("aleatoric", "epistemic")
                }
            )
        },
        c.test,
    ),
}


def explained(content):
    """Attributions of the test planets' targets, and bands to mark."""
    planet = content.test.isel(planet=0)
    shape = planet.sizes["target"], planet.sizes["wavelength"]
    return planet, np.random.default_rng(2).standard_normal(shape)


def correlations(**columns):
    """Rank correlations of two targets by method, or shifts of them by band."""
    table = pd.DataFrame({"target": ["log_H2O", "log_CO2"], "median_rho": [0.9, np.nan]})
    return table.assign(low_rho=0.7, high_rho=0.95, planets=30, **columns)


FIGURES |= {
    "attribution_bands": lambda c: plotting.attribution_bands(
        explained(c)[0], {"flow": explained(c)[1], "gain": 2 * explained(c)[1]}, BANDS
    ),
    "counterfactual_spectra": lambda c: plotting.counterfactual_spectra(*explained(c), BANDS),
    "agreement_chart": lambda _: plotting.agreement_chart(
        pd.concat([correlations(method="gradient"), correlations(method="SHAP")])
    ),
    "sanity_chart": lambda _: plotting.sanity_chart(
        correlations(), pd.concat([correlations()] * 3)
    ),
    "band_importance": lambda _: plotting.band_importance(
        pd.concat(
            correlations(cluster=cluster, group=group, shift=0.1 + cluster)
            for cluster in (0, 2)
            for group in ("H2O 1.4 um", "CO2 4.3 um")
        )
    ),
}
FIGURES |= {name: lambda _, draw=draw: draw() for name, draw in FRAME_FIGURES.items()}


@pytest.mark.parametrize("shift", [0.0, 0.07, np.nan])
def test_importances_of_a_model_that_hardly_learnt_are_drawn(shift):
    table = correlations(cluster=0, group="H2O 1.4 um").assign(shift=shift)
    figure = plotting.band_importance(table)
    figure.canvas.draw()
    low, high = figure.axes[0].images[0].get_clim()
    assert low < high and len(figure.axes[-1].get_yticks()) == 2


def test_a_heat_map_shows_the_numbers_that_are_known():
    axes = FIGURES["agreement_chart"](CONTENT).axes[0]
    assert [text.get_text() for text in axes.texts] == ["0.90", "0.90"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["gradient", "SHAP"]


def test_only_bands_within_the_spectrum_are_marked():
    figure = FIGURES["counterfactual_spectra"](CONTENT)
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    wavelength = CONTENT.test["wavelength"].values
    inside = {b.molecule for b in BANDS if b.low_um < wavelength[-1] and b.high_um > wavelength[0]}
    assert named == inside


def test_every_public_figure_is_drawn_here():
    assert set(FIGURES) == set(plotting.__all__)


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_labelled_with_units(name):
    figure = FIGURES[name](CONTENT)
    labels = [axes.get_xlabel() for axes in figure.axes] + [
        axes.get_ylabel() for axes in figure.axes
    ]
    labels = [label for label in labels if label]
    assert any(axes.get_xlabel() for axes in figure.axes)
    assert any(axes.get_ylabel() for axes in figure.axes)
    for label in labels:
        assert label in WITHOUT_UNIT or re.search(r"\[.+\]", label), label
    figure.savefig(io.BytesIO(), format="png", dpi=30)


def test_style_leaves_global_settings_alone():
    before = dict(mpl.rcParams)
    FIGURES["loadings"](CONTENT)
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("wavelength", "scale", "ticks"),
    [((0.55, 7.28), "log", {0.5, 1, 2, 3, 5, 7}), ((0.87, 1.63), "linear", None)],
)
def test_wavelength_axis_is_logarithmic_only_over_a_large_range(wavelength, scale, ticks):
    _figure, (axes,) = style.grid_of_panels(1)
    style.wavelength_axis(axes, np.linspace(*wavelength, 20))
    assert axes.get_xscale() == scale
    assert axes.get_xlim()[0] < wavelength[0] and axes.get_xlim()[1] > wavelength[1]
    if ticks:
        assert set(axes.get_xticks()) >= ticks


def test_models_that_are_not_trained_in_epochs_give_no_curves():
    history = next(iter(CONTENT.histories.values())).iloc[:0]
    assert plotting.training_curves({"random_forest/0": history}) is None
    assert plotting.training_curves({}) is None


def test_leaderboard_rows_without_the_score_are_left_out():
    board = CONTENT.leaderboard
    figure = plotting.leaderboard_chart(board, "log_prob", "log p [nat]")
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["flow"]
    everything = plotting.leaderboard_chart(board, "final_score", "score [1]").axes[0]
    lengths = [bar.get_width() for bar in everything.patches]
    assert lengths == sorted(board["final_score"])


def test_corner_plot_marks_the_true_value_and_survives_a_constant_target():
    theta = np.random.default_rng(0).normal(size=(200, CONTENT.test.sizes["target"]))
    theta[:, 1] = 1000.0
    truth = theta.mean(axis=0)
    figure = plotting.corner_plot(
        CONTENT.test, {"flow": (theta, np.full(200, 1 / 200))}, theta=truth
    )
    first = figure.axes[0]
    assert any(np.allclose(line.get_xdata(), truth[0]) for line in first.lines)


def test_large_scatters_are_thinned_evenly():
    rows = style.spread_sample(50_000)
    assert len(rows) <= style.MAX_POINTS
    assert rows[0] == 0 and rows[-1] == 49_999
    assert len(style.spread_sample(0)) == 0


def test_corner_plot_names_a_model_that_lies_outside_the_view():
    rng = np.random.default_rng(0)
    theta, weight = rng.normal(size=(500, CONTENT.test.sizes["target"])), np.full(500, 1 / 500)
    samples = {"flow": (theta, weight), "near": (theta + 1, weight), "far": (theta + 90, weight)}
    figure = plotting.corner_plot(CONTENT.test, samples)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["flow", "near", "far (outside the view)"]
    assert figure.axes[0].get_xlim()[1] < 20


def test_a_figure_as_svg_is_the_same_bytes_every_time() -> None:
    losses = {"H2O": np.linspace(-1, 3, 5)}
    first, second = (
        svg_bytes(plotting.detection_map(np.linspace(1, 5, 5), losses), "map") for _ in range(2)
    )
    assert first == second and first.startswith(b"<?xml")
