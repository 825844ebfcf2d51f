from arielflow.core.files import write_table
from arielflow.core.seeds import derived_seed
from arielflow.exploration.representations import train_representation
from arielflow.runs.job import job

with job(snakemake):
    name, dimension = snakemake.wildcards.representation, int(snakemake.wildcards.dimension)
    model, history = train_representation(
        name,
        snakemake.params.settings,
        snakemake.input.planets,
        snakemake.input.split,
        n_latent=dimension,
        scaling=snakemake.params.scaling,
        seed=derived_seed(snakemake.params.seed, f"representation {name}", dimension),
        device=snakemake.params.device,
        state_dir=snakemake.params.state_dir,
    )
    model.save(snakemake.output.model)
    write_table(history, snakemake.output.history)
