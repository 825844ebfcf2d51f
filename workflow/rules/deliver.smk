# The official files, the report, the manifest and a few lines that say where they are.


if SUBMITTED:

    rule submit:
        input:
            posterior=f"{RUN}/posteriors/test/{config['submission']['model']}.nc",
            test=dataset_files("test"),
            certificates=f"{RUN}/scores/certificates.csv" if CERTIFIED else [],
        output:
            files=SUBMISSION_FILES,
            check=f"{RUN}/submission_check.json",
        log:
            f"{RUN}/logs/submit.log",
        benchmark:
            f"{RUN}/benchmarks/submit.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(30),
        params:
            edition=EDITION,
            model=config["submission"]["model"],
            test_folder=lambda w: TEST_FOLDER,
            sources=code("submit", EDITION_CODE),
        script:
            "../scripts/submit.py"


REPORT_INPUTS = dict(
    train=f"{RUN}/ingested/train.nc",
    test=f"{RUN}/ingested/test.nc",
    # Test planets first: the page cuts a long table.
    quality=expand(f"{RUN}/ingested/{{split}}_quality.csv", split=SPLITS[::-1]),
    exploration=f"{RUN}/exploration.nc",
    representation=(
        f"{RUN}/representation/comparison.nc" if config["representation"]["models"] else []
    ),
    disentangled=f"{RUN}/representation/disentangled.nc" if DISENTANGLED else [],
    histories=[
        f"{RUN}/histories/{model}/{member}.csv"
        for model in TRAINED
        for member in range(model_settings(model)["members"])
    ],
    models=[folder for model in TRAINED for folder in members(model)],
    posteriors=expand(f"{RUN}/posteriors/test/{{model}}.nc", model=ROWS),
    leaderboard=f"{RUN}/scores/leaderboard.csv" if SCORED else [],
    ks_by_target=f"{RUN}/scores/ks_by_target.csv" if SCORED else [],
    calibration=(
        expand(f"{RUN}/scores/calibration/{{model}}.csv", model=MODELS + list(MENDED))
        if SCORED
        else []
    ),
    coverage=(
        expand(f"{RUN}/scores/coverage/{{model}}.csv", model=MODELS + list(MENDED))
        if SCORED
        else []
    ),
    recalibration=[f"{RUN}/calibration/{model}/gain.csv" for model in MENDED.values()],
    certificates=f"{RUN}/scores/certificates.csv" if CERTIFIED else [],
    detections=expand(f"{RUN}/detections/{{model}}/molecules.csv", model=DETECTED),
    detection_bins=expand(f"{RUN}/detections/{{model}}/bins.csv", model=DETECTED),
    truth=f"{RUN}/truth/truth.nc" if SCORED else [],
    observed=f"{RUN}/ingested/observed.nc" if OBSERVED else [],
    observed_posteriors=(
        expand(f"{RUN}/posteriors/observed/{{model}}.nc", model=MODELS) if OBSERVED else []
    ),
    submission=SUBMISSION_FILES,
    submission_check=f"{RUN}/submission_check.json" if SUBMITTED else [],
)


rule manifest:
    input:
        # All that the report shows, so that its jobs have been measured.
        **REPORT_INPUTS,
        data=[path for split in SPLITS for path in dataset_files(split)],
        physics=(
            [path for path in PHYSICS_FILES if Path(path).suffix]
            if SCORED and EDITION != "wfc3"
            else []
        ),
    output:
        manifest=f"{RUN}/manifest.json",
    log:
        f"{RUN}/logs/manifest.log",
    benchmark:
        f"{RUN}/benchmarks/manifest.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(10),
    params:
        config=config,
        benchmarks=f"{RUN}/benchmarks",
    script:
        "../scripts/manifest.py"


rule report:
    input:
        **REPORT_INPUTS,
        manifest=f"{RUN}/manifest.json",
    output:
        page=report(
            f"{RUN}/report/index.html",
            caption="../report/page.rst",
            category="Report",
            labels={"page": "report"},
        ),
        figures=report(
            directory(f"{RUN}/figures"),
            patterns=["{name}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{name}"},
        ),
    log:
        f"{RUN}/logs/report.log",
    benchmark:
        f"{RUN}/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        config=config,
        edition=EDITION,
        sources=code("report", EDITION_CODE),
        benchmarks=lambda w: f"{RUN}/benchmarks",
    script:
        "../scripts/report.py"


rule summary:
    input:
        page=f"{RUN}/report/index.html",
        leaderboard=REPORT_INPUTS["leaderboard"],
        submission=SUBMISSION_FILES,
        check=REPORT_INPUTS["submission_check"],
    output:
        summary=f"{RUN}/summary.txt",
    log:
        f"{RUN}/logs/summary.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(500),
        runtime=growing(5),
    params:
        model=config["submission"]["model"],
        sources=code("summary"),
    script:
        "../scripts/summary.py"


DELIVERED = [
    "report/index.html",
    "manifest.json",
    "summary.txt",
    *(path.removeprefix(f"{RUN}/") for path in SUBMISSION_FILES),
    *(["scores/leaderboard.csv"] if SCORED else []),
    *(["scores/certificates.csv"] if CERTIFIED else []),
]


# Made on request alone: snakemake results/<run>/crate.zip
rule crate:
    input:
        manifest=f"{RUN}/manifest.json",
        results=[f"{RUN}/{name}" for name in DELIVERED if name != "manifest.json"],
        workflow=workflow.source_path("../../Snakefile"),
    output:
        crate=f"{RUN}/crate.zip",
    log:
        f"{RUN}/logs/crate.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(500),
        runtime=growing(10),
    script:
        "../scripts/crate.py"
