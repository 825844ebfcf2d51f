"""Detector frames: read, calibrated, and summed into light curves."""
