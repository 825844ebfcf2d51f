"""Calibration of a trained model, as a whole and by groups of planets, and what mends it."""

from __future__ import annotations

from arielflow.evaluation.calibration.measures import (
    TABLE_LEVELS,
    Calibration,
    calibrate_model,
    measure_calibration,
)

__all__ = ["TABLE_LEVELS", "Calibration", "calibrate_model", "measure_calibration"]
