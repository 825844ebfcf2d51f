"""arielflow: posteriors of exoplanet atmospheres for the Ariel Data Challenge.

In Python, each name below comes from :mod:`arielflow.api` once it is used, so that ``import
arielflow`` takes no time; docs/python.md shows them at work.
"""

import os
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arielflow.api import plot as plot
    from arielflow.api.inference_data import to_arviz as to_arviz
    from arielflow.api.model import Model as Model
    from arielflow.api.model import load_model as load_model
    from arielflow.api.model import train as train
    from arielflow.api.physics import physics_settings as physics_settings
    from arielflow.api.physics import spectrum as spectrum
    from arielflow.api.planets import read as read
    from arielflow.api.planets import read_truth as read_truth
    from arielflow.api.planets import simulate as simulate
    from arielflow.api.retrieval import retrieve as retrieve
    from arielflow.api.scores import score as score
    from arielflow.api.scores import submit as submit
    from arielflow.api.spectra import read_spectrum as read_spectrum
    from arielflow.api.spectra import retrieve_spectrum as retrieve_spectrum
    from arielflow.core.errors import ArielflowError as ArielflowError

# torch's threads wait for each other by spinning, for a millisecond unless told otherwise: beside
# another program on the same cores that costs a retrieval nine tenths of its speed.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

try:
    __version__ = version("arielflow")
except PackageNotFoundError:  # run from a source tree that was not installed
    __version__ = "0+unknown"

_MODULES = {
    "ArielflowError": "arielflow.core.errors",
    "Model": "arielflow.api.model",
    "load_model": "arielflow.api.model",
    "physics_settings": "arielflow.api.physics",
    "plot": "arielflow.api.plot",
    "read": "arielflow.api.planets",
    "read_spectrum": "arielflow.api.spectra",
    "read_truth": "arielflow.api.planets",
    "retrieve": "arielflow.api.retrieval",
    "retrieve_spectrum": "arielflow.api.spectra",
    "score": "arielflow.api.scores",
    "simulate": "arielflow.api.planets",
    "spectrum": "arielflow.api.physics",
    "submit": "arielflow.api.scores",
    "to_arviz": "arielflow.api.inference_data",
    "train": "arielflow.api.model",
}

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(_MODULES[name])
    found = module if name == "plot" else getattr(module, name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
