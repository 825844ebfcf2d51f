from arielflow.chemistry.compressed import CompressedNetwork
from arielflow.chemistry.evaluate import evaluate_compression
from arielflow.chemistry.run import parts
from arielflow.jobs import job
from arielflow.provenance import write_dataset
from arielflow.schema import open_dataset

with job(snakemake):
    clouds = parts(snakemake.params.settings, open_dataset(snakemake.input.clouds))
    model = CompressedNetwork.load(snakemake.input.model)
    write_dataset(evaluate_compression(model, clouds["test"]), snakemake.output.evaluation)
