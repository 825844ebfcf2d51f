from arielflow.jobs import job
from arielflow.models.ensemble import sample_ensemble
from arielflow.provenance import derived_seed, write_dataset
from arielflow.schema import open_dataset

with job(snakemake.log[0]):
    posterior = sample_ensemble(
        snakemake.input.members,
        open_dataset(snakemake.input.planets),
        snakemake.params.n_samples,
        seed=derived_seed(snakemake.params.seed, f"sample/{snakemake.wildcards.model}"),
        device=snakemake.params.device,
    )
    write_dataset(posterior, snakemake.output.posterior)
