"""Drift between two sets of planets: is what a model was trained on like what it is applied to?

Spectra, error bars, systems and the relation of theta to spectrum are compared one by one, each
with an effect size beside its p-value.
"""
