import logging
import shutil
from pathlib import Path

from arielflow.core.files import write_dataset
from arielflow.data.simulated_planets import simulate_planets
from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job

with job(snakemake):
    planets = simulate_planets(
        get_edition(snakemake.params.edition),
        snakemake.params.n_planets,
        seed=snakemake.params.seed,
        split="prior",
        prior=snakemake.params.prior,
        physics=PhysicsSettings(**snakemake.params.physics),
        scratch=Path(snakemake.params.scratch),
        progress=lambda done, total: logging.info("spectra: %d of %d", done, total),
    )
    write_dataset(planets, snakemake.output.planets)
    shutil.rmtree(snakemake.params.scratch, ignore_errors=True)
