from arielflow.core.files import write_table
from arielflow.core.seeds import derived_seed
from arielflow.models.member import training_parts
from arielflow.models.tune import tune, write_overlay
from arielflow.runs.job import job

with job(snakemake):
    source, params, model = snakemake.input, snakemake.params, snakemake.wildcards.model
    overlay, trials = tune(
        model,
        params.spec,
        params.tuning,
        training_parts(params.spec, 0, source.planets, source.split, source.annotated),
        seed=derived_seed(params.seed, f"tune {model}"),
        device=params.device,
        database=params.database,
    )
    write_table(trials, snakemake.output.trials)
    write_overlay(overlay, snakemake.output.settings)
