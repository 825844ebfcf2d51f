from pathlib import Path

from arielflow.core.files import write_table
from arielflow.core.netcdf import read_netcdf
from arielflow.editions import get_frame_edition
from arielflow.evaluation.frames.leaderboard import frame_leaderboard
from arielflow.evaluation.frames.scores import reference_of
from arielflow.evaluation.frames.tables import read_labels
from arielflow.runs.job import job

with job(snakemake):
    given, params = snakemake.input, snakemake.params
    edition = get_frame_edition(params.edition)
    reference = edition.score.reference
    board, planets = frame_leaderboard(
        edition,
        {Path(path).stem: read_netcdf(path) for path in given.spectra},
        read_labels(given.validation, edition),
        reference or reference_of(read_labels(given.labels, edition, skip=True).spectrum),
        params.seed,
    )
    write_table(board, snakemake.output.leaderboard)
    write_table(planets, snakemake.output.planets)
