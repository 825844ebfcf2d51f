from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.importance import ImportanceSettings
from arielflow.retrieval.retrieve_importance import Fallback, importance_posteriors
from arielflow.runs.job import job

with job(snakemake):
    given, params = snakemake.input, snakemake.params
    posteriors = importance_posteriors(
        get_edition(params.edition),
        open_dataset(given.planets).isel(
            planet=slice(int(snakemake.wildcards.chunk), None, params.chunks)
        ),
        given.members,
        physics=PhysicsSettings(**params.physics),
        shares=open_dataset(given.posterior).attrs["shares"],
        settings=ImportanceSettings(**params.settings),
        fallback=Fallback(**params.fallback),
        **{name: params[name] for name in ("seed", "n_samples", "device", "state_folder")},
    )
    write_dataset(posteriors[0], snakemake.output.importance)
    write_dataset(posteriors[1], snakemake.output.fallback)
