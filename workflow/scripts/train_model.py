import pandas as pd

from arielflow.ingest import subset
from arielflow.jobs import job
from arielflow.models import make_estimator
from arielflow.provenance import derived_seed
from arielflow.schema import open_dataset

with job(snakemake.log[0]):
    spec, names = snakemake.params.spec, snakemake.wildcards
    planets = open_dataset(snakemake.input.planets)
    split = pd.read_csv(snakemake.input.split, dtype=str)
    estimator = make_estimator(spec["family"], spec["settings"])
    history = estimator.fit(
        subset(planets, split, "train"),
        subset(planets, split, "valid"),
        seed=derived_seed(snakemake.params.seed, names.model, int(names.member)),
        device=snakemake.params.device,
        state_dir=snakemake.params.state_dir,
    )
    estimator.save(snakemake.output.model)
    history.to_csv(snakemake.output.history, index=False)
