from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.variational import VariationalSettings, variational_posteriors
from arielflow.runs.job import job

with job(snakemake):
    params = snakemake.params
    own = slice(int(snakemake.wildcards.chunk), None, params.chunks)
    start = [open_dataset(path).isel(planet=own) for path in snakemake.input.start]
    posterior = variational_posteriors(
        get_edition(params.edition),
        open_dataset(snakemake.input.planets).isel(planet=own),
        physics=PhysicsSettings(**params.physics),
        seed=params.seed,
        settings=VariationalSettings(**params.settings),
        n_samples=params.n_samples,
        start=start[0] if start else None,
    )
    write_dataset(posterior, snakemake.output.posterior)
