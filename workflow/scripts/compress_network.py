from arielflow.chemistry.run import compress_network
from arielflow.jobs import job
from arielflow.provenance import derived_seed, write_table
from arielflow.schema import open_dataset

with job(snakemake):
    model, history = compress_network(
        snakemake.params.settings,
        open_dataset(snakemake.input.clouds),
        seed=derived_seed(snakemake.params.seed, "compression"),
        device=snakemake.params.device,
        state_dir=snakemake.params.state_dir,
    )
    model.save(snakemake.output.model)
    write_table(history, snakemake.output.history)
