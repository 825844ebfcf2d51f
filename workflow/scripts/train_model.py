from arielflow.jobs import job
from arielflow.provenance import derived_seed
from arielflow.train_member import write_member

with job(snakemake.log[0]):
    names = snakemake.wildcards
    write_member(
        snakemake.output.model,
        snakemake.output.history,
        snakemake.params.spec,
        int(names.member),
        snakemake.input.planets,
        snakemake.input.split,
        snakemake.input.annotated,
        seed=derived_seed(snakemake.params.seed, names.model, int(names.member)),
        device=snakemake.params.device,
        state_dir=snakemake.params.state_dir,
    )
