"""Posteriors by sampling and fitting through the forward model."""
