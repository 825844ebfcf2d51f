"""Check and print where a finished run's results are; called by the Makefile after the workflow."""

import sys
from pathlib import Path

import yaml

from arielflow.checksums import check_delivered
from arielflow.errors import ArielflowError

folder = Path("results", yaml.safe_load(Path(sys.argv[1]).read_text())["run"])
try:
    check_delivered(folder)
except ArielflowError as error:
    sys.exit(f"arielflow: {error}")
print((folder / "summary.txt").read_text(), end="")
