"""Observed spectra of single planets, in the formats that astronomers write them in."""
