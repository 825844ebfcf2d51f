from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset, posterior_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.priors import prior_samples
from arielflow.runs.job import job

with job(snakemake):
    planets = open_dataset(snakemake.input.planets)
    seed = derived_seed(snakemake.params.seed, "prior")
    theta = prior_samples(planets, snakemake.params.n_samples, seed)
    write_dataset(posterior_dataset(planets, theta), snakemake.output.posterior)
