"""Opacities, radiative transfer and the population of planets; torch and NumPy, no workflow."""
