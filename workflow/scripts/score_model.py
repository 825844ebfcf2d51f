from arielflow.editions import get_edition
from arielflow.evaluate import score_posterior
from arielflow.jobs import job
from arielflow.physics.forward import PhysicsSettings
from arielflow.provenance import write_table
from arielflow.schema import open_dataset

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
