from arielflow.core.netcdf import read_netcdf
from arielflow.editions import get_frame_edition
from arielflow.evaluation.frames.submission import submit_spectra
from arielflow.runs.job import job

with job(snakemake):
    submit_spectra(
        read_netcdf(snakemake.input.spectra),
        get_frame_edition(snakemake.params.edition),
        snakemake.params.folder,
        snakemake.output.file,
        snakemake.output.check,
    )
