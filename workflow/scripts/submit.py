from pathlib import Path

from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.evaluation.submission.write import submit
from arielflow.runs.job import job

with job(snakemake):
    submit(
        open_dataset(snakemake.input.posterior),
        get_edition(snakemake.params.edition),
        Path(snakemake.output.files[0]).parent,
        snakemake.params.model,
        snakemake.params.test_folder,
        snakemake.output.check,
        certificates=snakemake.input.get("certificates") or None,
    )
