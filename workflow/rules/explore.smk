# PCA, ICA and clusters of the spectra, learnt on the training split; autoencoders where asked for.


rule explore:
    input:
        train=f"{RUN}/ingested/train.nc",
        test=f"{RUN}/ingested/test.nc",
    output:
        exploration=f"{RUN}/exploration.nc",
    log:
        f"{RUN}/logs/explore.log",
    benchmark:
        f"{RUN}/benchmarks/explore.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=config["explore"],
        sources=code("explore"),
        seed=config["seed"],
    script:
        "../scripts/explore.py"


# One job a representation and dimension, like the members of an ensemble.
rule train_representation:
    input:
        planets=f"{RUN}/ingested/train.nc",
        split=f"{RUN}/ingested/train_split.csv",
    output:
        model=directory(f"{RUN}/representation/models/{{representation}}/{{dimension}}"),
        history=f"{RUN}/representation/histories/{{representation}}/{{dimension}}.csv",
    log:
        f"{RUN}/logs/train_representation_{{representation}}_{{dimension}}.log",
    benchmark:
        f"{RUN}/benchmarks/train_representation_{{representation}}_{{dimension}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(120),
        gpu=1 if config["device"] == "cuda" else 0,
    params:
        settings=representation_settings,
        scaling=config["explore"]["representation"],
        sources=code("train_representation", "arielflow.models.representations"),
        seed=config["seed"],
        device=config["device"],
        # Not an output: Snakemake deletes declared outputs before a rerun, and with them what an
        # interrupted training resumes from.
        state_dir=lambda w: f"{RUN}/state/representation/{w.representation}/{w.dimension}",
    script:
        "../scripts/train_representation.py"


rule compare_representations:
    input:
        models=expand(
            f"{RUN}/representation/models/{{representation}}/{{dimension}}",
            representation=REPRESENTATIONS,
            dimension=DIMENSIONS,
        ),
        planets=f"{RUN}/ingested/train.nc",
        split=f"{RUN}/ingested/train_split.csv",
        test=f"{RUN}/ingested/test.nc",
        exploration=f"{RUN}/exploration.nc",
    output:
        comparison=f"{RUN}/representation/comparison.nc",
    log:
        f"{RUN}/logs/compare_representations.log",
    benchmark:
        f"{RUN}/benchmarks/compare_representations.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
        gpu=1 if config["device"] == "cuda" else 0,
    params:
        sources=code("compare_representations", "arielflow.models.representations"),
        seed=config["seed"],
        device=config["device"],
    script:
        "../scripts/compare_representations.py"


rule compare_disentangled:
    input:
        models=expand(
            f"{RUN}/representation/models/{{representation}}/{config['disentangle']['n_latent']}",
            representation=DISENTANGLE_MODELS,
        ),
        planets=f"{RUN}/ingested/train.nc",
        split=f"{RUN}/ingested/train_split.csv",
        physics=PHYSICS_FILES,
    output:
        comparison=f"{RUN}/representation/disentangled.nc",
    log:
        f"{RUN}/logs/compare_disentangled.log",
    benchmark:
        f"{RUN}/benchmarks/compare_disentangled.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
        gpu=1 if config["device"] == "cuda" else 0,
    params:
        names=DISENTANGLE_MODELS,
        nuisance=config["disentangle"]["nuisance"],
        edition=EDITION,
        physics=PHYSICS,
        sources=code("compare_disentangled", EDITION_CODE, "arielflow.models.representations"),
        seed=config["seed"],
        device=config["device"],
    script:
        "../scripts/compare_disentangled.py"
