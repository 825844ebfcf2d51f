"""arielflow: posteriors of exoplanet atmospheres for the Ariel Data Challenge."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("arielflow")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "0+unknown"
