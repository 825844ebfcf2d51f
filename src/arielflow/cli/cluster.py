"""Commands for runs on a cluster; both take Snakemake's own arguments."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from arielflow.cli.common import app, console
from arielflow.core.config import read_config
from arielflow.core.errors import ArielflowError

_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=_PASSED_ON)
def recover(context: typer.Context) -> None:
    """Pick up a killed run: end the jobs it left, unlock, run again.

    Takes Snakemake's own arguments, as the killed run had them:
    arielflow recover --profile workflow/profiles/slurm --configfile config.yaml
    """
    from arielflow.runs.recover import end_leftovers
    from arielflow.runs.resources import last_words

    _check_config_files(context.args)
    folder = Path.cwd()
    if not (folder / ".snakemake").is_dir():
        raise ArielflowError(f"{folder}: no run was started here; call it where Snakemake ran")
    cancelled, ended = end_leftovers(folder, context.args)
    typer.echo(f"cancelled {len(cancelled)} jobs of Slurm, ended {len(ended)} processes here")
    snakemake = [sys.executable, "-m", "snakemake", *context.args]
    done = subprocess.run([*snakemake, "--unlock"], capture_output=True, text=True)
    if done.returncode:
        raise ArielflowError(f"snakemake --unlock failed: {last_words(done.stderr)}")
    sys.stdout.flush()
    # Becomes the new head itself, so that signals reach it.
    os.execv(sys.executable, snakemake)


@app.command(context_settings=_PASSED_ON)
def resources(context: typer.Context) -> None:
    """Memory and time that a run's jobs asked for beside what they used.

    Takes Snakemake's own arguments: arielflow resources --configfile config.yaml
    """
    from rich import box
    from rich.table import Table

    from arielflow.runs.resources import resource_table

    _check_config_files(context.args)
    shown = Table(box=box.MARKDOWN)
    for title in ("rule", "jobs", "longest", "of the time", "peak memory", "of the memory"):
        shown.add_column(title, justify="left" if title == "rule" else "right", no_wrap=True)
    for row in resource_table(Path.cwd(), context.args).itertuples():
        shown.add_row(
            row.rule,
            str(row.jobs),
            f"{row.seconds:.0f} s",
            f"{row.seconds / 60 / row.runtime_min:.0%} of {row.runtime_min} min",
            f"{row.peak_mb:.0f} MB",
            f"{row.peak_mb / row.mem_mb:.0%} of {row.mem_mb} MB",
        )
    console.print(shown)


def _check_config_files(arguments: Sequence[str]) -> None:
    """Refuse what Snakemake, given such configuration files, would answer with a traceback."""
    files, named = [], False
    for word in arguments:
        name, _, value = word.partition("=")
        if word.startswith("-"):
            named = name in ("--configfile", "--configfiles")
            files += [value] if named and value else []
        elif named:
            files.append(word)
    read_config(*files)
