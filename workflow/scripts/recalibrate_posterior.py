from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.evaluation.calibration.recalibration import Recalibration, recalibrate_posterior
from arielflow.runs.job import job

with job(snakemake):
    posterior = recalibrate_posterior(
        open_dataset(snakemake.input.posterior),
        open_dataset(snakemake.input.planets),
        Recalibration.read(snakemake.input.recalibration),
    )
    write_dataset(posterior, snakemake.output.posterior)
