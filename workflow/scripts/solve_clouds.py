from arielflow.chemistry.run import solve_clouds
from arielflow.core.files import write_dataset
from arielflow.core.seeds import derived_seed
from arielflow.runs.job import job

with job(snakemake):
    settings = snakemake.params.settings
    seed = derived_seed(snakemake.params.seed, "clouds")
    write_dataset(solve_clouds(settings, seed=seed), snakemake.output.clouds)
