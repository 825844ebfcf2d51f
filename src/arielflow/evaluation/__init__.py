"""Scores of posteriors, their uncertainty and calibration, and submissions."""

import os

# POT would import every array library it finds, seconds of PyTorch among them; NumPy is enough.
for _library in ("PYTORCH", "JAX", "CUPY", "TENSORFLOW"):
    os.environ.setdefault(f"POT_BACKEND_DISABLE_{_library}", "1")
