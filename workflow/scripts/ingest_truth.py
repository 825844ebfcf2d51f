from arielflow.editions import get_edition
from arielflow.ingest import ingest_truth
from arielflow.jobs import job
from arielflow.provenance import write_dataset
from arielflow.schema import open_dataset

with job(snakemake):
    truth, rerun = ingest_truth(
        snakemake.params.folder,
        get_edition(snakemake.params.edition),
        open_dataset(snakemake.input.planets),
    )
    write_dataset(truth, snakemake.output.truth)
    write_dataset(rerun, snakemake.output.rerun)
