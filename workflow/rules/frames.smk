# Detector frames to light curves, spectra, scores and a submission.


# The planets' own files lie in an undeclared folder: a killed job goes on where it was.
rule calibrate_frames:
    input:
        frames=lambda w: frame_files(FOLDER, w.split, CHUNKS[w.split][int(w.chunk)]),
        gains=lambda w: f"{FOLDER}/{TABLES[EDITION][w.split]}",
    output:
        quality=f"{RUN}/light_curves/{{split}}/chunks/{{chunk}}.csv",
    log:
        f"{RUN}/logs/calibrate_frames/{{split}}_{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/calibrate_frames_{{split}}_{{chunk}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(1000),
        runtime=growing(60),
    params:
        edition=EDITION,
        folder=FOLDER,
        planets=lambda w: CHUNKS[w.split][int(w.chunk)],
        output=lambda w: f"{RUN}/light_curves/{w.split}/planets",
        sources=code("calibrate_frames", EDITION_CODE),
        calibration=FRAMES["calibration"],
        light_curves=FRAMES["light_curves"],
    script:
        "../scripts/calibrate_frames.py"


rule gather_quality:
    input:
        chunks=lambda w: [
            f"{RUN}/light_curves/{w.split}/chunks/{chunk}.csv"
            for chunk in range(len(CHUNKS[w.split]))
        ],
    output:
        quality=f"{RUN}/light_curves/{{split}}/quality.csv",
    log:
        f"{RUN}/logs/gather_quality/{{split}}.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(500),
        runtime=growing(5),
    params:
        sources=code("gather_quality"),
    script:
        "../scripts/gather_quality.py"


rule split_labels:
    input:
        labels=LABELS,
        quality=f"{RUN}/light_curves/train/quality.csv",
    output:
        train=f"{RUN}/labels/train.csv",
        validation=f"{RUN}/labels/validation.csv",
    log:
        f"{RUN}/logs/split_labels.log",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(500),
        runtime=growing(5),
    params:
        edition=EDITION,
        fraction=FRAMES["validation_fraction"],
        seed=config["seed"],
        sources=code("split_labels", EDITION_CODE),
    script:
        "../scripts/split_labels.py"


rule fit_extractor:
    input:
        labels=f"{RUN}/labels/train.csv",
        quality=f"{RUN}/light_curves/train/quality.csv",
    output:
        model=directory(f"{RUN}/models/{{extractor}}"),
    log:
        f"{RUN}/logs/fit_extractor/{{extractor}}.log",
    benchmark:
        f"{RUN}/benchmarks/fit_{{extractor}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        edition=EDITION,
        curves=f"{RUN}/light_curves/train/planets",
        sources=code("fit_extractor", EDITION_CODE, extractor_code),
    script:
        "../scripts/fit_extractor.py"


rule extract_spectra:
    input:
        model=f"{RUN}/models/{{extractor}}",
        floor=f"{RUN}/models/constant",
        planets=lambda w: (
            f"{RUN}/labels/validation.csv"
            if w.scored == "validation"
            else f"{RUN}/light_curves/test/quality.csv"
        ),
    output:
        spectra=f"{RUN}/spectra/{{scored}}/{{extractor}}.nc",
    log:
        f"{RUN}/logs/extract_spectra/{{scored}}_{{extractor}}.log",
    benchmark:
        f"{RUN}/benchmarks/extract_{{scored}}_{{extractor}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        edition=EDITION,
        curves=lambda w: f"{RUN}/light_curves/{'test' if w.scored == 'test' else 'train'}/planets",
        sources=code("extract_spectra", EDITION_CODE, extractor_code),
    script:
        "../scripts/extract_spectra.py"


rule score_spectra:
    input:
        spectra=expand(f"{RUN}/spectra/validation/{{extractor}}.nc", extractor=EXTRACTORS),
        validation=f"{RUN}/labels/validation.csv",
        labels=LABELS,
    output:
        leaderboard=f"{RUN}/scores/leaderboard.csv",
        planets=f"{RUN}/scores/planets.csv",
    log:
        f"{RUN}/logs/score_spectra.log",
    benchmark:
        f"{RUN}/benchmarks/score_spectra.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        edition=EDITION,
        seed=config["seed"],
        sources=code("score_spectra", EDITION_CODE),
    script:
        "../scripts/score_spectra.py"


if SUBMISSION_FILES:

    rule submit_spectra:
        input:
            spectra=f"{RUN}/spectra/test/{FRAMES['submitted']}.nc",
        output:
            file=SUBMISSION,
            check=f"{RUN}/submission_check.json",
        log:
            f"{RUN}/logs/submit_spectra.log",
        benchmark:
            f"{RUN}/benchmarks/submit_spectra.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        params:
            edition=EDITION,
            folder=FOLDER,
            sources=code("submit_spectra", EDITION_CODE),
        script:
            "../scripts/submit_spectra.py"


FRAME_REPORT_INPUTS = dict(
    quality=[f"{RUN}/light_curves/{split}/quality.csv" for split in SPLITS],
    leaderboard=f"{RUN}/scores/leaderboard.csv",
    planets=f"{RUN}/scores/planets.csv",
    validation=f"{RUN}/labels/validation.csv",
    spectra=expand(f"{RUN}/spectra/validation/{{extractor}}.nc", extractor=EXTRACTORS),
    models=expand(f"{RUN}/models/{{extractor}}", extractor=EXTRACTORS),
    submission=SUBMISSION_FILES,
    check=f"{RUN}/submission_check.json" if SUBMISSION_FILES else [],
)


rule manifest:
    input:
        **FRAME_REPORT_INPUTS,
        data=[LABELS, *sorted({f"{FOLDER}/{TABLES[EDITION][split]}" for split in SPLITS})],
        physics=[],
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


rule report_frames:
    input:
        **FRAME_REPORT_INPUTS,
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
        f"{RUN}/logs/report_frames.log",
    benchmark:
        f"{RUN}/benchmarks/report_frames.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        config=config,
        curves=lambda w: f"{RUN}/light_curves",
        benchmarks=lambda w: f"{RUN}/benchmarks",
        sources=code("report_frames", EDITION_CODE),
    script:
        "../scripts/report_frames.py"


rule summary:
    input:
        page=f"{RUN}/report/index.html",
        leaderboard=f"{RUN}/scores/leaderboard.csv",
        submission=SUBMISSION_FILES,
        check=FRAME_REPORT_INPUTS["check"],
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
        model=FRAMES["submitted"],
        sources=code("summary"),
    script:
        "../scripts/summary.py"


DELIVERED = [
    "report/index.html",
    "manifest.json",
    "summary.txt",
    "scores/leaderboard.csv",
    *(path.removeprefix(f"{RUN}/") for path in SUBMISSION_FILES),
]
