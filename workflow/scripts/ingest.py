from arielflow.editions import get_edition
from arielflow.ingest import hide_truth, ingest
from arielflow.jobs import job
from arielflow.priors import agreed_prior
from arielflow.provenance import write_dataset, write_table

with job(snakemake):
    params, output, split = snakemake.params, snakemake.output, snakemake.wildcards.split
    prior = agreed_prior(params.folder, params.prior)
    planets, traces, quality = ingest(
        params.folder, get_edition(params.edition), split, prior=prior
    )
    write_dataset(planets if split == "train" else hide_truth(planets), output.planets)
    write_dataset(traces, output.traces)
    write_table(quality, output.quality)
