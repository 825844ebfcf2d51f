from arielflow.core.files import write_json
from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.evaluation.emulator import emulator_report
from arielflow.models.emulator import Emulator
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job

with job(snakemake):
    report = emulator_report(
        get_edition(snakemake.params.edition),
        Emulator.load(snakemake.input.model),
        *(open_dataset(snakemake.input[name]) for name in ("planets", "truth", "rerun")),
        physics=PhysicsSettings(**snakemake.params.physics),
        n_retrievals=snakemake.params.n_retrievals,
        seed=snakemake.params.seed,
    )
    write_json(report, snakemake.output.report)
