from arielflow.jobs import job
from arielflow.provenance import derived_seed, write_table
from arielflow.train_member import training_parts
from arielflow.tune import tune, write_overlay

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
