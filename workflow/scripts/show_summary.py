"""Print where a finished run's results are; called by the Makefile after the workflow."""

import sys
from pathlib import Path

from arielflow.config import config_files, read_config

run = read_config("config.yaml", *config_files(sys.argv[1]))["run"]
print(Path("results", run, "summary.txt").read_text(), end="")
