"""Posterior estimators, one family a file."""
