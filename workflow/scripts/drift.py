from pathlib import Path

from arielflow.core.schema import open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.evaluation.drift.compare import compare_sets
from arielflow.evaluation.drift.outputs import write_drift
from arielflow.runs.job import job

with job(snakemake):
    test = open_dataset(snakemake.input.test)
    if snakemake.input.get("truth"):
        truth = open_dataset(snakemake.input.truth)["theta"]
        test = test.assign(theta=truth.sel(planet=test["planet"].values).variable)
    drift = compare_sets(
        open_dataset(snakemake.input.train), test, seed=derived_seed(snakemake.params.seed, "drift")
    )
    write_drift(drift, Path(snakemake.output.summary).parent)
