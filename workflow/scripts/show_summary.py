"""Check and print where a finished run's results are; called by the Makefile after the workflow."""

import sys
from pathlib import Path

from arielflow.core.config import config_files, read_config
from arielflow.core.errors import ArielflowError
from arielflow.runs.checksums import check_delivered

run = read_config("config.yaml", *config_files(sys.argv[1]))["run"]
folder = Path("results", run)
try:
    check_delivered(folder)
except ArielflowError as error:
    sys.exit(f"arielflow: {error}")
print((folder / "summary.txt").read_text(), end="")
