from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.evaluation.rows import score_posterior
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job

with job(snakemake):
    table = score_posterior(
        get_edition(snakemake.params.edition),
        open_dataset(snakemake.input.posterior),
        open_dataset(snakemake.input.planets),
        open_dataset(snakemake.input.truth),
        seed=snakemake.params.seed,
        physics=PhysicsSettings(**snakemake.params.physics) if snakemake.params.physics else None,
        members=snakemake.input.get("members") or [],
        device=snakemake.params.device,
    )
    write_table(table, snakemake.output.scores)
