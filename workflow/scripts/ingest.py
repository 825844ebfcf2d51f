from arielflow.core.files import write_dataset, write_table
from arielflow.core.schema import open_dataset
from arielflow.data.ingest import hide_truth, ingest, refuse_shared_planets
from arielflow.data.priors import agreed_prior
from arielflow.editions import get_edition
from arielflow.runs.job import job

with job(snakemake):
    params, output, split = snakemake.params, snakemake.output, snakemake.wildcards.split
    planets, traces, quality = ingest(
        *(params.folder, get_edition(params.edition), split),
        prior=agreed_prior(params.folder, params.prior),
        limits=params.limits,
    )
    if snakemake.input.train:
        refuse_shared_planets(open_dataset(snakemake.input.train), planets)
    write_dataset(planets if split == "train" else hide_truth(planets), output.planets)
    write_dataset(traces, output.traces)
    write_table(quality, output.quality)
