from arielflow.disentangle import chemical_twins, compare_disentangled
from arielflow.editions import get_edition
from arielflow.ingest import read_split, subset
from arielflow.jobs import job
from arielflow.physics.forward import PhysicsSettings
from arielflow.provenance import derived_seed, write_dataset
from arielflow.schema import open_dataset

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
