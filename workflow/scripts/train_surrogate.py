from arielflow.ingest import read_split, subset
from arielflow.jobs import job
from arielflow.models.surrogate import Emulator
from arielflow.provenance import derived_seed, write_table
from arielflow.schema import open_dataset

with job(snakemake):
    planets = open_dataset(snakemake.input.planets)
    split = read_split(snakemake.input.split)
    emulator = Emulator.from_settings(snakemake.params.settings)
    history = emulator.fit(
        subset(planets, split, "train"),
        subset(planets, split, "valid"),
        seed=derived_seed(snakemake.params.seed, "surrogate"),
        device=snakemake.params.device,
        state_dir=snakemake.params.state_dir,
    )
    emulator.save(snakemake.output.model)
    write_table(history, snakemake.output.history)
