import logging

from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.runs.job import job
from arielflow.simulation.dataset import simulate

# Nested sampling spawns processes that import this file; only the job itself simulates.
if __name__ == "__main__":
    with job(snakemake):
        simulate(
            get_edition(snakemake.params.edition),
            snakemake.params.folder,
            **snakemake.params.sizes,
            n_test=snakemake.params.n_test,
            seed=snakemake.params.seed,
            prior=snakemake.params.prior,
            population=snakemake.params.population,
            physics=PhysicsSettings(**snakemake.params.physics),
            truth_library=snakemake.input.get("truth_library", []),
            workers=snakemake.threads,
            progress=lambda done, total: logging.info("nested sampling: %d of %d", done, total),
            spectra_progress=lambda done, total: logging.info("spectra: %d of %d", done, total),
        )
