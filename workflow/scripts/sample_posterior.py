from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.splits import read_split, subset
from arielflow.models.ensemble import sample_ensemble, stacking_shares
from arielflow.runs.job import job

with job(snakemake):
    seed = derived_seed(snakemake.params.seed, f"sample/{snakemake.wildcards.model}")
    members, device, shares = snakemake.input.members, snakemake.params.device, None
    if snakemake.input.valid:
        planets, split = snakemake.input.valid
        valid = subset(open_dataset(planets), read_split(split), "valid")
        shares = stacking_shares(members, valid, seed=seed, device=device)
    posterior = sample_ensemble(
        members,
        open_dataset(snakemake.input.planets),
        snakemake.params.n_samples,
        seed=seed,
        device=device,
        shares=shares,
    )
    write_dataset(posterior, snakemake.output.posterior)
