"""Figures: arrays and datasets in, matplotlib figures out; nothing is read or written."""

from __future__ import annotations

from arielflow.plotting.calibration import coverage_by_group, recalibration_maps
from arielflow.plotting.chemistry import (
    abundance_errors,
    abundance_trajectories,
    latent_trajectories,
)
from arielflow.plotting.data import population, quality_counts, spectra_gallery
from arielflow.plotting.detections import detection_map
from arielflow.plotting.drift import drift_by_bin, drift_of_parameters, drift_scores
from arielflow.plotting.explanations import (
    agreement_chart,
    attribution_bands,
    band_importance,
    counterfactual_spectra,
    sanity_chart,
)
from arielflow.plotting.exploration import (
    clusters,
    explained_variance,
    independent_components,
    loadings,
    mean_versus_scatter,
    scores_by_target,
    silhouettes,
)
from arielflow.plotting.frames import (
    detector_images,
    extracted_spectra,
    flux_map,
    image_positions,
    light_curves,
    noise_against_time,
)
from arielflow.plotting.physics import (
    band_differences,
    fitted_spectra,
    opacity_comparison,
    predicted_spectrum,
    residual_distributions,
    residuals_by_wavelength,
)
from arielflow.plotting.posteriors import corner_plot, posterior_beside_literature
from arielflow.plotting.representation import (
    latent_by_cluster,
    latent_by_target,
    representation_error,
    twin_distances,
)
from arielflow.plotting.results import (
    coverage_curves,
    feature_importances,
    importance_quality,
    leaderboard_chart,
    predicted_versus_true,
    spread_parts,
    training_curves,
)
from arielflow.plotting.trust import (
    absorber_shares,
    bin_alarms,
    fault_power,
    opacity_corrections,
    test_probabilities,
)

__all__ = [
    "absorber_shares",
    "abundance_errors",
    "abundance_trajectories",
    "agreement_chart",
    "attribution_bands",
    "band_differences",
    "band_importance",
    "bin_alarms",
    "clusters",
    "corner_plot",
    "counterfactual_spectra",
    "coverage_by_group",
    "coverage_curves",
    "detection_map",
    "detector_images",
    "drift_by_bin",
    "drift_of_parameters",
    "drift_scores",
    "explained_variance",
    "extracted_spectra",
    "fault_power",
    "feature_importances",
    "fitted_spectra",
    "flux_map",
    "image_positions",
    "importance_quality",
    "independent_components",
    "latent_by_cluster",
    "latent_by_target",
    "latent_trajectories",
    "leaderboard_chart",
    "light_curves",
    "loadings",
    "mean_versus_scatter",
    "noise_against_time",
    "opacity_comparison",
    "opacity_corrections",
    "population",
    "posterior_beside_literature",
    "predicted_spectrum",
    "predicted_versus_true",
    "quality_counts",
    "recalibration_maps",
    "representation_error",
    "residual_distributions",
    "residuals_by_wavelength",
    "sanity_chart",
    "scores_by_target",
    "silhouettes",
    "spectra_gallery",
    "spread_parts",
    "test_probabilities",
    "training_curves",
    "twin_distances",
]
