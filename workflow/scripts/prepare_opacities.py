import logging

from arielflow.core.files import write_json
from arielflow.data.forward_models import edition_opacities
from arielflow.editions import get_edition
from arielflow.physics.builtin_opacity import ensure_builtin_opacities
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job

with job(snakemake):
    physics = PhysicsSettings(**snakemake.params.physics)
    if snakemake.params.builtin:
        ensure_builtin_opacities(physics.opacities)
    record = edition_opacities(get_edition(snakemake.params.edition), physics)
    for name, entry in record.items():
        logging.info("%s: %s", name, entry)
    write_json(record, snakemake.output.record)
