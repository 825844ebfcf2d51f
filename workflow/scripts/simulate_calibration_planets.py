import logging
import shutil
from pathlib import Path

from arielflow.core.files import write_dataset
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job

with job(snakemake):
    purpose, params = snakemake.wildcards.purpose, snakemake.params
    scratch = Path(params.scratch) / purpose
    planets = simulate_planets(
        get_edition(params.edition),
        params.n_planets,
        seed=params.seed,
        split=f"calibration_{purpose}",
        prior=params.prior,
        physics=PhysicsSettings(**params.physics),
        scratch=scratch,
        progress=lambda done, total: logging.info("spectra: %d of %d", done, total),
    )
    write_dataset(planets, snakemake.output.planets)
    shutil.rmtree(scratch, ignore_errors=True)
