"""The training of a member as a job runs it: in this process, or in several that it starts.

``python -m arielflow.models.train_worker FILE`` is one of several.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from arielflow.core.files import write_json
from arielflow.models.distributed import Processes, launch
from arielflow.models.member import write_member
from arielflow.runs.job import job


def train_in_processes(log_file: str | Path, **member: Any) -> None:
    """Train and write a member in as many processes as its ``spec`` says.

    Parameters
    ----------
    log_file
        Of the job; of several processes the first one's log, the others' lie beside it.
    member
        Arguments of :func:`arielflow.models.member.write_member`.
    """
    spec = member["spec"]
    if spec["processes"] == 1:
        write_member(**member)
        return
    file = Path(member["state_dir"]) / "arguments.json"
    write_json({"log_file": str(log_file), "member": member}, file)
    launch("arielflow.models.train_worker", file, processes=spec["processes"], nodes=spec["nodes"])


def main() -> None:
    """Be one of several processes."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    rank = Processes.found().rank
    with job(f"{arguments['log_file']}.{rank}" if rank else arguments["log_file"]):
        write_member(**arguments["member"])


if __name__ == "__main__":
    main()
