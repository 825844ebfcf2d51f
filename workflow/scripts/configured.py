"""Check the configuration that make names, then become a command that is given its files."""

import os
import sys

from arielflow.core.config import config_files, read_config
from arielflow.core.errors import ArielflowError
from arielflow.runs.inputs import run_faults

line, *command = sys.argv[1:]
try:
    files = config_files(line)
    config = read_config("config.yaml", *files)
    faults = run_faults(config, default=read_config("config.yaml"))
except ArielflowError as error:
    faults = [str(error)]
if faults:
    sys.exit("\n".join(f"arielflow: {fault}" for fault in faults))
# Snakemake refuses an empty file, which changes nothing.
given = [str(file) for file in files if read_config(file)]
os.execv(command[0], [*command, *(["--configfile", *given] if given else [])])
