from arielflow.chemistry.run import solve_clouds
from arielflow.jobs import job
from arielflow.provenance import derived_seed, write_dataset

with job(snakemake):
    settings = snakemake.params.settings
    seed = derived_seed(snakemake.params.seed, "clouds")
    write_dataset(solve_clouds(settings, seed=seed), snakemake.output.clouds)
