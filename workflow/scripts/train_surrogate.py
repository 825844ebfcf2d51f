from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.splits import read_split, subset
from arielflow.models.emulator import Emulator
from arielflow.runs.job import job

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
