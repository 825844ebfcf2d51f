from arielflow.explore import explore
from arielflow.jobs import job
from arielflow.provenance import derived_seed, write_dataset
from arielflow.schema import open_dataset

with job(snakemake):
    settings = snakemake.params.settings
    result = explore(
        open_dataset(snakemake.input.train),
        open_dataset(snakemake.input.test),
        n_components=settings["n_components"],
        clusters=range(settings["clusters"][0], settings["clusters"][1] + 1),
        representation=settings["representation"],
        seed=derived_seed(snakemake.params.seed, "explore"),
    )
    write_dataset(result, snakemake.output.exploration)
