from arielflow.chemistry.run import compress_network
from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.runs.job import job

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
