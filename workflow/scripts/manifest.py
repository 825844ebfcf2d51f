from arielflow.core.files import as_list, write_json
from arielflow.models import failures
from arielflow.runs.job import job
from arielflow.runs.manifest import run_manifest
from arielflow.runs.resources import measured_jobs

with job(snakemake):
    given = snakemake.input
    outputs = [path for name in ("submission", "leaderboard") for path in as_list(given[name])]
    manifest = run_manifest(
        snakemake.params.config,
        {path: path for path in as_list(given.data) + as_list(given.physics)},
        {path: path for path in outputs},
        failures(as_list(given.models)),
        measured_jobs(snakemake.params.benchmarks),
    )
    write_json(manifest, snakemake.output.manifest)
