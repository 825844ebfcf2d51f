import logging

from arielflow.edition_physics import build_edition_nodes
from arielflow.editions import get_edition
from arielflow.jobs import job
from arielflow.physics.forward import PhysicsSettings

with job(snakemake):
    build_edition_nodes(
        get_edition(snakemake.params.edition),
        PhysicsSettings(**snakemake.params.physics),
        seed=snakemake.params.seed,
        device=snakemake.params.device,
        progress=lambda done, total: logging.info("planets: %d of %d", done, total),
    )
