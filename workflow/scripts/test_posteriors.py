from pathlib import Path

from arielflow.core.files import write_table
from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.evaluation.trust.model import model_tests
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job
from arielflow.settings.trust import TrustSettings

with job(snakemake):
    given, params = snakemake.input, snakemake.params
    found = model_tests(
        given.members,
        open_dataset(given.train),
        open_dataset(given.planets),
        get_edition(params.edition),
        PhysicsSettings(**params.physics),
        TrustSettings(**params.settings),
        representations={Path(folder).parent.name: folder for folder in given.representations},
        shares=open_dataset(given.posterior).attrs["shares"],
        **{name: params[name] for name in ("prior", "population", "seed", "device")},
    )
    write_table(found.planets, snakemake.output.tests)
    write_table(found.calibration, snakemake.output.calibration)
