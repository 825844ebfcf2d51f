"""The Python API: what ``import arielflow as af`` offers, over the functions of the workflow."""
