import logging

from arielflow.core.schema import open_dataset
from arielflow.editions import get_edition
from arielflow.physics.forward import PhysicsSettings
from arielflow.retrieval.nested import Nested
from arielflow.retrieval.planets import choose_planets, retrieve_planets
from arielflow.retrieval.summary import summarise, summary_lines
from arielflow.runs.job import job

with job(snakemake):
    posterior = retrieve_planets(
        get_edition(snakemake.params.edition),
        choose_planets(open_dataset(snakemake.input.planets), [snakemake.wildcards.planet]),
        Nested(),
        snakemake.output.posterior,
        physics=PhysicsSettings(**snakemake.params.physics),
        seed=snakemake.params.seed,
        n_samples=snakemake.params.n_samples,
        state_dir=snakemake.params.state_dir,
        progress=lambda planet, state: logging.info("%s: %s", planet, state),
    )
    for line in summary_lines(summarise(posterior)):
        logging.info("%s", line)
