from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.core.seeds import derived_seed
from arielflow.data.splits import read_split, subset
from arielflow.editions import get_edition
from arielflow.exploration.disentangle import chemical_twins, compare_disentangled
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job

with job(snakemake):
    params, seed = snakemake.params, derived_seed(snakemake.params.seed, "disentangle")
    planets = open_dataset(snakemake.input.planets)
    valid = subset(planets, read_split(snakemake.input.split), "valid")
    physics = PhysicsSettings(**params.physics)
    result = compare_disentangled(
        dict(zip(params.names, snakemake.input.models, strict=True)),
        valid,
        chemical_twins(get_edition(params.edition), valid, physics, seed),
        nuisance=tuple(params.nuisance),
        seed=seed,
        device=params.device,
    )
    write_dataset(result, snakemake.output.comparison)
