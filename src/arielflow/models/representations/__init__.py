"""Representations of spectra in few numbers."""
