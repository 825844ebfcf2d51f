from arielflow.editions import get_frame_edition
from arielflow.evaluation.frames.tables import read_labels
from arielflow.frames.chunk import read_curves
from arielflow.models.extractors import make_extractor
from arielflow.runs.job import job

with job(snakemake):
    params = snakemake.params
    labels = read_labels(snakemake.input.labels, get_frame_edition(params.edition))
    extractor = make_extractor(snakemake.wildcards.extractor)
    extractor.fit(read_curves(params.curves, labels.planet_ids), labels.spectrum)
    extractor.save(snakemake.output.model)
