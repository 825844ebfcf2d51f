"""Check and print where a finished run's results are; called by the Makefile after the workflow."""

import sys
from pathlib import Path

from arielflow.core.config import config_files, read_config
from arielflow.core.errors import ArielflowError
from arielflow.runs.checksums import check_finished

run = read_config("config.yaml", *config_files(sys.argv[1]))["run"]
folder = Path("results", run)
summary = folder / "summary.txt"
if not summary.is_file():
    sys.exit(f"arielflow: {summary}: no such file; the run has not finished, run it again")
try:
    check_finished(folder)
except ArielflowError as error:
    sys.exit(f"arielflow: {error}")
print(summary.read_text(), end="")
