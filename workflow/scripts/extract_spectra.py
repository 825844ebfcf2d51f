from arielflow.core.files import write_dataset
from arielflow.core.tables import read_results
from arielflow.editions import get_frame_edition
from arielflow.frames.chunk import read_curves
from arielflow.models.extractors import load_extractor
from arielflow.models.extractors.rows import extract_spectra
from arielflow.runs.job import job

with job(snakemake):
    given, params = snakemake.input, snakemake.params
    spectra = extract_spectra(
        load_extractor(given.model),
        load_extractor(given.floor),
        read_curves(params.curves, read_results(given.planets)["planet_id"]),
        get_frame_edition(params.edition).wavelength_um,
    )
    write_dataset(spectra, snakemake.output.spectra)
