"""Reaction networks: a stiff one, and a small interpretable one that stands in for it."""
