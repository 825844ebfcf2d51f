"""Editions with detector frames: tables of spectra, official scores, submissions."""
