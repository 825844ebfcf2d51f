"""Observed spectra of single planets."""

from arielflow.data.spectra.read import read_spectrum as read_spectrum
