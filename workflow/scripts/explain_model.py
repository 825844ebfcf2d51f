from pathlib import Path

from arielflow.api.explanations import explain_model
from arielflow.api.model import Model
from arielflow.core.schema import open_dataset
from arielflow.models.ensemble import Ensemble
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job

with job(snakemake):
    physics = snakemake.params.physics
    members = [Path(member) for member in snakemake.input.members]
    shares = open_dataset(snakemake.input.posterior).attrs["shares"]
    ensemble = Ensemble(members, shares, device="cpu")
    explain_model(
        Model(snakemake.wildcards.model, tuple(members), ensemble, "of the run", "cpu"),
        open_dataset(snakemake.input.planets),
        snakemake.output.folder,
        reference=open_dataset(snakemake.input.reference),
        exploration=open_dataset(snakemake.input.exploration),
        physics=physics and PhysicsSettings(**physics),
        seed=snakemake.params.seed,
    )
