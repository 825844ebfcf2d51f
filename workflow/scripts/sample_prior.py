from arielflow.jobs import job
from arielflow.models.ensemble import prior_samples
from arielflow.provenance import derived_seed, write_dataset
from arielflow.schema import open_dataset, posterior_dataset

with job(snakemake):
    planets = open_dataset(snakemake.input.planets)
    seed = derived_seed(snakemake.params.seed, "prior")
    theta = prior_samples(planets, snakemake.params.n_samples, seed)
    write_dataset(posterior_dataset(planets, theta), snakemake.output.posterior)
