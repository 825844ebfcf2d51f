# Opacities, simulated data in the official layout, and ingestion.


rule prepare_opacities:
    input:
        tables=[] if BUILTIN else opacity_files,
    output:
        record=f"{RUN}/opacities.json",
        tables=directory(PHYSICS["opacities"]) if BUILTIN else [],
    log:
        f"{RUN}/logs/prepare_opacities.log",
    benchmark:
        f"{RUN}/benchmarks/prepare_opacities.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(30),
    params:
        edition=EDITION,
        physics=PHYSICS,
        sources=code("prepare_opacities", EDITION_CODE),
        builtin=BUILTIN,
        marks=lambda w: [] if BUILTIN else marks(opacity_files(w)),
    script:
        "../scripts/prepare_opacities.py"


if FAST:

    rule build_nodes:
        input:
            opacities=OPACITY_FILES,
        output:
            nodes=PHYSICS["nodes"],
        log:
            f"{RUN}/logs/build_nodes.log",
        benchmark:
            f"{RUN}/benchmarks/build_nodes.tsv"
        conda:
            "../../environment.yml"
        threads: 2
        resources:
            mem_mb=growing(4000),
            runtime=growing(60),
        params:
            edition=EDITION,
            physics=PHYSICS,
            sources=code("build_nodes", EDITION_CODE),
            seed=config["seed"],
            device=config["device"],
        script:
            "../scripts/build_nodes.py"


if SIMULATED:

    rule simulate_dataset:
        input:
            physics=PHYSICS_FILES,
            truth_library=config["simulation"]["truth_library"],
        output:
            train=expand(
                f"{RUN}/dataset/TrainingData/{{name}}",
                name=["AuxillaryTable.csv", "SpectralData.hdf5"],
            ),
            ground_truth=directory(f"{RUN}/dataset/TrainingData/Ground Truth Package"),
            test=(
                expand(
                    f"{RUN}/dataset/TestData/{{name}}",
                    name=["AuxillaryTable.csv", "SpectralData.hdf5"],
                )
                if SIMULATED_TEST
                else []
            ),
            test_truth=directory(f"{RUN}/dataset/TestTruth") if SIMULATED_TEST else [],
            record=f"{RUN}/dataset/simulation.json",
        log:
            f"{RUN}/logs/simulate_dataset.log",
        benchmark:
            f"{RUN}/benchmarks/simulate_dataset.tsv"
        conda:
            "../../environment.yml"
        threads: 2
        resources:
            mem_mb=growing(2000),
            runtime=growing(240),
        params:
            edition=EDITION,
            seed=config["seed"],
            physics=PHYSICS,
            sources=code("simulate_dataset", EDITION_CODE),
            prior=config["dataset"]["prior"],
            population=config["simulation"]["population"],
            sizes={key: config["simulation"][key] for key in ("n_train", "n_traces")},
            n_test=config["simulation"]["n_test"] if SIMULATED_TEST else 0,
            folder=lambda w: f"{RUN}/dataset",
            marks=lambda w: marks(config["simulation"]["truth_library"]),
        script:
            "../scripts/simulate_dataset.py"


rule ingest:
    input:
        files=lambda w: dataset_files(w.split),
        ground_truth=lambda w: (
            f"{RUN}/dataset/TrainingData/Ground Truth Package"
            if SIMULATED and w.split == "train"
            else []
        ),
        # Test planets must not be training planets.
        train=lambda w: (
            f"{RUN}/ingested/train.nc"
            if w.split == "test" and not (SIMULATED_TEST or OBSERVED)
            else []
        ),
    output:
        planets=f"{RUN}/ingested/{{split}}.nc",
        traces=f"{RUN}/ingested/{{split}}_traces.nc",
        quality=report(
            f"{RUN}/ingested/{{split}}_quality.csv",
            caption="../report/quality.rst",
            category="Data",
            labels={"table": "quality", "split": "{split}"},
        ),
    log:
        f"{RUN}/logs/ingest_{{split}}.log",
    benchmark:
        f"{RUN}/benchmarks/ingest_{{split}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        edition=EDITION,
        folder=lambda w: TRAIN_FOLDER if w.split != "test" or OBSERVED else TEST_FOLDER,
        marks=lambda w: marks(dataset_files(w.split)),
        prior=config["dataset"]["prior"],
        sources=code("ingest", EDITION_CODE),
        limits=config["dataset"]["limits"],
    script:
        "../scripts/ingest.py"


if SCORED:

    rule ingest_truth:
        input:
            files=TRUTH_FOLDER or dataset_files("test"),
            planets=f"{RUN}/ingested/test.nc",
        output:
            truth=f"{RUN}/truth/truth.nc",
            rerun=f"{RUN}/truth/rerun.nc",
        log:
            f"{RUN}/logs/ingest_truth.log",
        benchmark:
            f"{RUN}/benchmarks/ingest_truth.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(30),
        params:
            edition=EDITION,
            folder=lambda w: TRUTH_FOLDER or TEST_FOLDER,
            sources=code("ingest_truth", EDITION_CODE),
        script:
            "../scripts/ingest_truth.py"


# Training planets beyond the data set's, for the models that ask for planets: prior.
rule simulate_prior_planets:
    input:
        physics=PHYSICS_FILES,
    output:
        planets=f"{RUN}/ingested/prior.nc",
    log:
        f"{RUN}/logs/simulate_prior_planets.log",
    benchmark:
        f"{RUN}/benchmarks/simulate_prior_planets.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        edition=EDITION,
        physics=PHYSICS,
        sources=code("simulate_prior_planets", EDITION_CODE),
        prior=config["dataset"]["prior"],
        n_planets=config["simulation"]["n_prior"],
        seed=config["seed"],
        # No output, so that an interrupted job's spectra survive until its retry.
        scratch=f"{RUN}/state/prior_planets",
    script:
        "../scripts/simulate_prior_planets.py"


rule split_planets:
    input:
        planets=f"{RUN}/ingested/{{source}}.nc",
    output:
        split=f"{RUN}/ingested/{{source}}_split.csv",
    log:
        f"{RUN}/logs/split_planets_{{source}}.log",
    benchmark:
        f"{RUN}/benchmarks/split_planets_{{source}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        validation_fraction=config["dataset"]["validation_fraction"],
        sources=code("split_planets"),
        seed=config["seed"],
    script:
        "../scripts/split_planets.py"
