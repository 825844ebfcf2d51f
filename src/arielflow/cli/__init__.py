"""The command line: the workflow's steps by hand, over the same functions.

Exit codes: 0 all is well, 1 what was checked is not valid, 2 the input or the call is at fault,
130 and 143 stopped by Ctrl-C and by SIGTERM.
"""

from __future__ import annotations

import sys

from arielflow import __version__
from arielflow.cli import (  # noqa: F401, they add their commands
    cluster,
    data,
    drift,
    explain,
    forward,
    frames,
    models,
    opacities,
    retrieve,
    selection,
    spectra,
    submissions,
)
from arielflow.cli.common import FAULT, Json, app, errors, say
from arielflow.core.errors import Stopped
from arielflow.core.readers import printable
from arielflow.editions import FRAME_NAMES, NAMES
from arielflow.runs.job import fault_line, heed_stops


@app.command()
def info(as_json: Json = False) -> None:
    """Versions, editions, devices and where the built-in opacities are kept."""
    import torch

    from arielflow.api.physics import builtin_folder
    from arielflow.models import FAMILIES
    from arielflow.runs.manifest import code_version, package_versions

    cuda = torch.cuda.is_available()
    content = {
        "arielflow": __version__,
        "code": code_version(),
        "device": torch.cuda.get_device_name(0) if cuda else "cpu",
        "editions": [*NAMES, *FRAME_NAMES],
        "models": list(FAMILIES),
        "opacities": str(builtin_folder()),
        "packages": package_versions(),
        "python": sys.version.split()[0],
    }
    say(as_json, content, *(f"{name}: {value}" for name, value in content.items()))


def main() -> None:
    """Run the command line; every fault of the input, and a stop, is one line on stderr."""
    heed_stops()
    try:
        app(standalone_mode=True)
    except Stopped as stop:
        errors.print(f"arielflow: {stop}", style="red")
        sys.exit(stop.exit_code)
    except Exception as error:
        line = fault_line(error)
        if line is None:
            raise
        errors.print(f"arielflow: {printable(line)}", style="red")
        sys.exit(FAULT)
