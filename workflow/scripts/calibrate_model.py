from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.evaluation.calibration.measures import calibrate_model
from arielflow.evaluation.calibration.recalibration import Recalibration
from arielflow.runs.job import job

with job(snakemake):
    mended = snakemake.input.get("recalibration")
    found = calibrate_model(
        snakemake.input.members,
        open_dataset(snakemake.input.planets),
        open_dataset(snakemake.input.truth)["theta"].values,
        snakemake.params.n_samples,
        seed=snakemake.params.seed,
        device=snakemake.params.device,
        shares=open_dataset(snakemake.input.posterior).attrs["shares"],
        recalibration=Recalibration.read(mended) if mended else None,
    )
    write_table(found.table, snakemake.output.calibration)
    write_table(found.coverage, snakemake.output.coverage)
