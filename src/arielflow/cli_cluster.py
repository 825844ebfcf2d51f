"""The command line's part for runs on a cluster; see :mod:`arielflow.cli`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import typer

from arielflow.errors import ArielflowError

PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def recover(context: typer.Context) -> None:
    """Pick up a killed run: end the jobs it left, unlock, run again.

    Takes Snakemake's own arguments, as the killed run had them:
    arielflow recover --profile workflow/profiles/slurm --configfile config.yaml
    """
    from arielflow.recover import end_leftovers

    folder = Path.cwd()
    if not (folder / ".snakemake").is_dir():
        raise ArielflowError(f"{folder}: no run was started here; call it where Snakemake ran")
    cancelled, ended = end_leftovers(folder, context.args)
    typer.echo(f"cancelled {len(cancelled)} jobs of Slurm, ended {len(ended)} processes here")
    snakemake = [sys.executable, "-m", "snakemake", *context.args]
    done = subprocess.run([*snakemake, "--unlock"], capture_output=True, text=True)
    if done.returncode:
        raise ArielflowError(f"snakemake --unlock failed: {done.stderr.strip()[-500:]}")
    sys.stdout.flush()
    # Becomes the new head itself, so that signals reach it.
    os.execv(sys.executable, snakemake)
