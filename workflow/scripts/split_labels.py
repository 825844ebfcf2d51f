from arielflow.core.files import write_table
from arielflow.core.tables import read_results
from arielflow.editions import get_frame_edition
from arielflow.evaluation.frames.tables import labels_table, read_labels
from arielflow.models.extractors.rows import split_labelled
from arielflow.runs.job import job

with job(snakemake):
    params, output = snakemake.params, snakemake.output
    edition = get_frame_edition(params.edition)
    labels = read_labels(snakemake.input.labels, edition, skip=True)
    labels = labels.of(read_results(snakemake.input.quality)["planet_id"])
    scored = split_labelled(labels.planet_ids, params.fraction, params.seed)
    for path, chosen in ((output.validation, scored), (output.train, [not s for s in scored])):
        own = [name for name, kept in zip(labels.planet_ids, chosen, strict=True) if kept]
        write_table(labels_table(labels.of(own), edition), path)
