from pathlib import Path

from arielflow.jobs import job
from arielflow.physics.builtin_opacity import ensure_builtin_opacities

with job(snakemake.log[0]):
    ensure_builtin_opacities(Path(snakemake.output.opacities[0]).parent)
