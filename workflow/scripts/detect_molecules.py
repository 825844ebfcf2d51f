from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.data.shown_planets import shown_planets
from arielflow.editions import get_edition
from arielflow.evaluation.detection_tables import detect_molecules
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job
from arielflow.settings.importance import ImportanceSettings

with job(snakemake):
    given, params = snakemake.input, snakemake.params
    planets = open_dataset(given.planets)
    truth = open_dataset(given.truth) if given.get("truth") else None
    found = detect_molecules(
        get_edition(params.edition),
        planets,
        open_dataset(given.posterior),
        shown_planets(planets, truth),
        physics=PhysicsSettings(**params.physics),
        settings=ImportanceSettings(**params.settings),
        seed=params.seed,
    )
    write_table(found.molecules, snakemake.output.molecules)
    write_table(found.bins, snakemake.output.bins)
