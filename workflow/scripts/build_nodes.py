import logging

from arielflow.data.forward_models import build_edition_nodes
from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job

with job(snakemake):
    build_edition_nodes(
        get_edition(snakemake.params.edition),
        PhysicsSettings(**snakemake.params.physics),
        seed=snakemake.params.seed,
        device=snakemake.params.device,
        progress=lambda done, total: logging.info("planets: %d of %d", done, total),
    )
