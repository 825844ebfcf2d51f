from arielflow.chemistry.compressed import CompressedNetwork
from arielflow.chemistry.evaluate import evaluate_compression
from arielflow.chemistry.run import parts
from arielflow.core.files import write_dataset
from arielflow.core.schema import open_dataset
from arielflow.runs.job import job

with job(snakemake):
    clouds = parts(snakemake.params.settings, open_dataset(snakemake.input.clouds))
    model = CompressedNetwork.load(snakemake.input.model)
    write_dataset(evaluate_compression(model, clouds["test"]), snakemake.output.evaluation)
