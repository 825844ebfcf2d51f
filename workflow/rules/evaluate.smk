# Scores of every model and of the reference rows; the only rules that read the test truth.


if SCORED:

    rule score_model:
        input:
            posterior=posterior_of,
            members=lambda w: members(w.model) if w.model in MODELS else [],
            planets=f"{RUN}/ingested/test.nc",
            truth=f"{RUN}/truth/truth.nc",
            physics=PHYSICS_FILES if EDITION != "wfc3" else [],
        output:
            scores=f"{RUN}/scores/planets/{{model}}.csv",
        log:
            f"{RUN}/logs/score_{{model}}.log",
        benchmark:
            f"{RUN}/benchmarks/score_{{model}}.tsv"
        # A group is one submission, and would ask for one GPU per job.
        group:
            None if config["device"] == "cuda" else "scores"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(3000),
            runtime=growing(60),
            gpu=lambda w: int(config["device"] == "cuda" and w.model in MODELS),
        params:
            edition=EDITION,
            physics=PHYSICS if EDITION != "wfc3" else None,
            sources=code("score_model", EDITION_CODE, family_code),
            seed=config["seed"],
            device=config["device"],
        script:
            "../scripts/score_model.py"

    rule calibrate_model:
        input:
            members=lambda w: members(MENDED.get(w.model, w.model)),
            # Holds the members' shares.
            posterior=f"{RUN}/posteriors/test/{{model}}.nc",
            planets=f"{RUN}/ingested/test.nc",
            truth=f"{RUN}/truth/truth.nc",
            recalibration=lambda w: recalibration_of(w.model),
        output:
            calibration=f"{RUN}/scores/calibration/{{model}}.csv",
            coverage=f"{RUN}/scores/coverage/{{model}}.csv",
        log:
            f"{RUN}/logs/calibrate_{{model}}.log",
        benchmark:
            f"{RUN}/benchmarks/calibrate_{{model}}.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(3000),
            runtime=growing(30),
            gpu=1 if config["device"] == "cuda" else 0,
        params:
            # Ranks are counted among these; more samples would not make up for the number of planets.
            n_samples=1000,
            sources=code("calibrate_model", family_code),
            seed=config["seed"],
            device=config["device"],
        script:
            "../scripts/calibrate_model.py"

    rule leaderboard:
        input:
            scores=expand(f"{RUN}/scores/planets/{{model}}.csv", model=ROWS + REFERENCES),
            calibration=expand(
                f"{RUN}/scores/calibration/{{model}}.csv", model=MODELS + list(MENDED)
            ),
        output:
            leaderboard=report(
                f"{RUN}/scores/leaderboard.csv",
                caption="../report/leaderboard.rst",
                category="Scores",
                labels={"table": "leaderboard"},
            ),
            ks_by_target=f"{RUN}/scores/ks_by_target.csv",
        log:
            f"{RUN}/logs/leaderboard.log",
        benchmark:
            f"{RUN}/benchmarks/leaderboard.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(1000),
            runtime=growing(10),
        params:
            edition=EDITION,
            sources=code("leaderboard", EDITION_CODE),
            seed=config["seed"],
        script:
            "../scripts/leaderboard.py"


# Made on request alone; the forward model that it is compared with must be the truth's own.
if SIMULATED_TEST:

    rule evaluate_surrogate:
        input:
            model=f"{RUN}/surrogate/model",
            planets=f"{RUN}/ingested/test.nc",
            truth=f"{RUN}/truth/truth.nc",
            rerun=f"{RUN}/truth/rerun.nc",
            physics=PHYSICS_FILES,
        output:
            report=f"{RUN}/surrogate/report.json",
        log:
            f"{RUN}/logs/evaluate_surrogate.log",
        benchmark:
            f"{RUN}/benchmarks/evaluate_surrogate.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(2000),
            runtime=growing(120),
        params:
            edition=EDITION,
            physics=PHYSICS,
            n_retrievals=config["surrogate"]["n_retrievals"],
            sources=code("evaluate_surrogate", EDITION_CODE),
            seed=config["seed"],
        script:
            "../scripts/evaluate_surrogate.py"
