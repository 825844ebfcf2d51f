"""Retrieval of any observed spectrum from a planet's description."""
