"""Print where a finished run's results are; called by the Makefile after the workflow."""

import sys
from pathlib import Path

import yaml

run = yaml.safe_load(Path(sys.argv[1]).read_text())["run"]
print(Path("results", run, "summary.txt").read_text(), end="")
