from pathlib import Path

from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.core.tables import read_results
from arielflow.evaluation.trust.rows import certify_rows
from arielflow.runs.job import job

with job(snakemake):
    given, models = snakemake.input, snakemake.params.models
    tests, calibration = (
        {name: read_results(path) for name, path in zip(models, paths, strict=True)}
        for paths in (given.tests, given.calibration)
    )
    table = certify_rows(
        open_dataset(given.planets),
        tests,
        calibration,
        {Path(path).stem: open_dataset(path) for path in given.posteriors},
    )
    write_table(table, snakemake.output.certificates)
