"""Retrievals that call the forward model for one planet at a time."""
