from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.exploration.components import explore
from arielflow.runs.job import job

with job(snakemake):
    settings = snakemake.params.settings
    result = explore(
        open_dataset(snakemake.input.train),
        open_dataset(snakemake.input.test),
        n_components=settings["n_components"],
        clusters=range(settings["clusters"][0], settings["clusters"][1] + 1),
        scaling=settings["representation"],
        seed=derived_seed(snakemake.params.seed, "explore"),
    )
    write_dataset(result, snakemake.output.exploration)
