# How far each planet's posterior can be trusted, and what differs between data sets.


# Needs no truth.
if CERTIFIED:

    rule test_posteriors:
        input:
            members=lambda w: members(w.model),
            posterior=f"{RUN}/posteriors/test/{{model}}.nc",
            train=lambda w: f"{RUN}/ingested/{training_set(w.model)}.nc",
            planets=f"{RUN}/ingested/test.nc",
            # The largest of each: what they leave is what none can reconstruct.
            representations=expand(
                f"{RUN}/representation/models/{{representation}}/{max(DIMENSIONS)}",
                representation=config["representation"]["models"],
            ),
            physics=PHYSICS_FILES,
        output:
            tests=f"{RUN}/trust/{{model}}/tests.csv",
            calibration=f"{RUN}/trust/{{model}}/calibration.csv",
        log:
            f"{RUN}/logs/test_posteriors_{{model}}.log",
        benchmark:
            f"{RUN}/benchmarks/test_posteriors_{{model}}.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(3000),
            runtime=growing(60),
            gpu=1 if config["device"] == "cuda" else 0,
        params:
            edition=EDITION,
            physics=PHYSICS,
            settings=config["trust"]["settings"],
            prior=config["dataset"]["prior"],
            population=config["simulation"]["population"],
            sources=code(
                "test_posteriors", EDITION_CODE, family_code, "arielflow.models.representations"
            ),
            seed=config["seed"],
            device=config["device"],
        script:
            "../scripts/test_posteriors.py"

    rule certify:
        input:
            planets=f"{RUN}/ingested/test.nc",
            tests=expand(f"{RUN}/trust/{{model}}/tests.csv", model=CERTIFIED),
            calibration=expand(f"{RUN}/trust/{{model}}/calibration.csv", model=CERTIFIED),
            posteriors=[
                f"{RUN}/posteriors/test/{row}.nc"
                for row in IMPORTANCE
                if any(row.startswith(f"{model}_importance") for model in CERTIFIED)
            ],
        output:
            certificates=report(
                f"{RUN}/scores/certificates.csv",
                caption="../report/certificates.rst",
                category="Trust",
                labels={"table": "certificates"},
            ),
        log:
            f"{RUN}/logs/certify.log",
        benchmark:
            f"{RUN}/benchmarks/certify.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(10),
        params:
            models=CERTIFIED,
            sources=code("certify"),
        script:
            "../scripts/certify.py"


# Which molecules the planets show whose posteriors the report draws, and by which bins. The truth
# tells which planets these are, nothing else.
rule detect_molecules:
    input:
        posterior=f"{RUN}/posteriors/test/{{model}}_importance_fallback.nc",
        planets=f"{RUN}/ingested/test.nc",
        truth=f"{RUN}/truth/truth.nc" if SCORED else [],
        physics=PHYSICS_FILES,
    output:
        molecules=f"{RUN}/detections/{{model}}/molecules.csv",
        bins=f"{RUN}/detections/{{model}}/bins.csv",
    log:
        f"{RUN}/logs/detect_molecules_{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/detect_molecules_{{model}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
    params:
        edition=EDITION,
        physics=PHYSICS,
        settings=config["importance"]["settings"],
        sources=code("detect_molecules", EDITION_CODE),
        seed=config["seed"],
    script:
        "../scripts/detect_molecules.py"


# Made on request alone; theta is compared too where the test planets' is known.
rule drift:
    input:
        train=f"{RUN}/ingested/train.nc",
        test=f"{RUN}/ingested/test.nc",
        truth=f"{RUN}/truth/truth.nc" if SCORED else [],
    output:
        summary=f"{RUN}/drift/drift.json",
        tables=expand(
            f"{RUN}/drift/{{table}}.csv",
            table=["summary", "spectrum_bins", "noise_bins", "parameters", "concept", "planets"],
        ),
        figures=expand(f"{RUN}/drift/{{figure}}.svg", figure=["bins", "classifier", "parameters"]),
    log:
        f"{RUN}/logs/drift.log",
    benchmark:
        f"{RUN}/benchmarks/drift.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        sources=code("drift"),
        seed=config["seed"],
    script:
        "../scripts/drift.py"


# Made on request alone: results/{run}/explanations/{model}.
rule explain_model:
    input:
        members=lambda w: members(w.model),
        # Holds the members' shares.
        posterior=f"{RUN}/posteriors/test/{{model}}.nc",
        planets=f"{RUN}/ingested/test.nc",
        reference=f"{RUN}/ingested/train.nc",
        exploration=f"{RUN}/exploration.nc",
        physics=PHYSICS_FILES if EDITION != "wfc3" else [],
    output:
        folder=directory(f"{RUN}/explanations/{{model}}"),
    log:
        f"{RUN}/logs/explain_{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/explain_{{model}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(4000),
        runtime=growing(120),
    params:
        physics=PHYSICS if EDITION != "wfc3" else None,
        sources=code("explain_model", EDITION_CODE, family_code),
        seed=config["seed"],
    script:
        "../scripts/explain_model.py"
