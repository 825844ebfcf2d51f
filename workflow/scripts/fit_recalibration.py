from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.evaluation.calibration.fresh import fit_recalibration
from arielflow.evaluation.calibration.gain import measure_gain
from arielflow.models.ensemble import Ensemble
from arielflow.runs.job import job

with job(snakemake):
    given, count = snakemake.input, snakemake.params.n_samples
    fitted, measured, posterior = map(open_dataset, (given.fitted, given.measured, given.posterior))
    model = Ensemble(given.members, posterior.attrs["shares"], device=snakemake.params.device)
    fit_seed, seed = (
        derived_seed(snakemake.params.seed, f"calibration/{name}")
        for name in ("fitted", "measured")
    )
    recalibration = fit_recalibration(model, fitted, count, seed=fit_seed)
    recalibration.write(snakemake.output.recalibration)
    gain = measure_gain(model, measured, recalibration, count, seed=seed)
    write_table(gain, snakemake.output.gain)
