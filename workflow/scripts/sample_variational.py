from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.planets import retrieve_planets
from arielflow.retrieval.variational import Variational
from arielflow.runs.job import job
from arielflow.settings.variational import VariationalSettings

with job(snakemake):
    params = snakemake.params
    own = slice(int(snakemake.wildcards.chunk), None, params.chunks)
    start = [open_dataset(path).isel(planet=own) for path in snakemake.input.start]
    settings = VariationalSettings(**params.settings | {"n_samples": params.n_samples})
    retrieve_planets(
        get_edition(params.edition),
        open_dataset(snakemake.input.planets).isel(planet=own),
        Variational(settings, start[0] if start else None),
        snakemake.output.posterior,
        physics=PhysicsSettings(**params.physics),
        seed=params.seed,
        n_samples=params.n_samples,
    )
