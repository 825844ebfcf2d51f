from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.data.ingest import ingest_truth
from arielflow.editions import get_edition
from arielflow.runs.job import job

with job(snakemake):
    truth, rerun = ingest_truth(
        snakemake.params.folder,
        get_edition(snakemake.params.edition),
        open_dataset(snakemake.input.planets),
    )
    write_dataset(truth, snakemake.output.truth)
    write_dataset(rerun, snakemake.output.rerun)
