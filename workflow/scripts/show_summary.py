"""Check and print where a finished run's results are; called by the Makefile after the workflow."""

import sys
from pathlib import Path

from arielflow.checksums import check_delivered
from arielflow.config import config_files, read_config
from arielflow.errors import ArielflowError

run = read_config("config.yaml", *config_files(sys.argv[1]))["run"]
folder = Path("results", run)
try:
    check_delivered(folder)
except ArielflowError as error:
    sys.exit(f"arielflow: {error}")
print((folder / "summary.txt").read_text(), end="")
