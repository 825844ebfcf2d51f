from pathlib import Path

from arielflow.api.calibration import calibrate_by_group
from arielflow.api.model import Model
from arielflow.core.schema import open_dataset
from arielflow.evaluation.calibration.recalibration import Recalibration
from arielflow.models.ensemble import Ensemble
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job
from arielflow.settings.calibration import CalibrationSettings

with job(snakemake):
    given, params, row = snakemake.input, snakemake.params, snakemake.wildcards.model
    shares = open_dataset(given.posterior).attrs["shares"]
    calibrate_by_group(
        Model(row, (), Ensemble(given.members, shares, device=params.device), "of the run"),
        open_dataset(given.planets),
        Path(snakemake.output.summary).parent,
        physics=PhysicsSettings(**params.physics),
        exploration=open_dataset(given.exploration),
        train=open_dataset(given.train),
        recalibration=Recalibration.read(given.recalibration) if given.recalibration else None,
        settings=CalibrationSettings(**params.settings),
        seed=params.seed,
    )
