"""Which posteriors can be trusted: detectors, their calibration, and a certificate per planet."""
