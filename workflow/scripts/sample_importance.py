from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.models.ensemble import Ensemble
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.amortised import Fallback, importance_posteriors
from arielflow.runs.job import job
from arielflow.settings.importance import ImportanceSettings

with job(snakemake):
    given, params = snakemake.input, snakemake.params
    shares = open_dataset(given.posterior).attrs["shares"]
    posteriors = importance_posteriors(
        get_edition(params.edition),
        open_dataset(given.planets).isel(
            planet=slice(int(snakemake.wildcards.chunk), None, params.chunks)
        ),
        Ensemble(given.members, shares, device=params.device),
        physics=PhysicsSettings(**params.physics),
        settings=ImportanceSettings(**params.settings),
        fallback=Fallback(**params.fallback),
        **{name: params[name] for name in ("seed", "n_samples", "state_dir")},
    )
    write_dataset(posteriors[0], snakemake.output.importance)
    write_dataset(posteriors[1], snakemake.output.fallback)
