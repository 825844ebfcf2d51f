from arielflow.core.seeds import derived_seed
from arielflow.models.member import train_in_processes
from arielflow.runs.job import job

with job(snakemake):
    names, given, params = snakemake.wildcards, snakemake.input, snakemake.params
    train_in_processes(
        snakemake.log[0],
        folder=snakemake.output.model,
        history_file=snakemake.output.history,
        spec=params.spec,
        member=int(names.member),
        planets_file=given.planets,
        split_file=given.split,
        annotated_files=list(given.annotated),
        seed=derived_seed(params.seed, names.model, int(names.member)),
        device=params.device,
        state_dir=params.state_dir,
    )
