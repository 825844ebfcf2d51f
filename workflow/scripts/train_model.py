from arielflow.jobs import job
from arielflow.provenance import derived_seed, write_table
from arielflow.train_member import train_member

with job(snakemake.log[0]):
    names = snakemake.wildcards
    estimator, history = train_member(
        snakemake.params.spec,
        int(names.member),
        snakemake.input.planets,
        snakemake.input.split,
        snakemake.input.annotated,
        seed=derived_seed(snakemake.params.seed, names.model, int(names.member)),
        device=snakemake.params.device,
        state_dir=snakemake.params.state_dir,
    )
    estimator.save(snakemake.output.model)
    write_table(history, snakemake.output.history)
