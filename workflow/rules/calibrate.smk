# Calibration of models on further simulated planets, by groups of them, and what mends it.


# Nothing of a default run needs these; the edition must have a forward model.
if EDITION != "wfc3":
    CALIBRATION = CalibrationSettings(**config["calibration"]["settings"])

    rule simulate_calibration_planets:
        input:
            physics=PHYSICS_FILES,
        output:
            planets=f"{RUN}/calibration/planets/{{purpose}}.nc",
        log:
            f"{RUN}/logs/simulate_calibration_planets_{{purpose}}.log",
        benchmark:
            f"{RUN}/benchmarks/simulate_calibration_planets_{{purpose}}.tsv"
        wildcard_constraints:
            purpose="measured|fitted",
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(3000),
            runtime=growing(60),
        params:
            edition=EDITION,
            physics=PHYSICS,
            sources=code("simulate_calibration_planets", EDITION_CODE),
            prior=config["dataset"]["prior"],
            n_planets=lambda w: getattr(
                CALIBRATION, {"measured": "n_planets", "fitted": "n_fit"}[w.purpose]
            ),
            seed=config["seed"],
            # No output, so that an interrupted job's spectra survive until its retry.
            scratch=f"{RUN}/state/calibration_planets",
        script:
            "../scripts/simulate_calibration_planets.py"

    # Made on request alone, also of a recalibrated row: results/{run}/calibration/{model}/groups.csv.
    rule calibrate_groups:
        input:
            members=lambda w: members(MENDED.get(w.model, w.model)),
            # Holds the members' shares.
            posterior=f"{RUN}/posteriors/test/{{model}}.nc",
            planets=f"{RUN}/calibration/planets/measured.nc",
            train=f"{RUN}/ingested/train.nc",
            exploration=f"{RUN}/exploration.nc",
            recalibration=lambda w: recalibration_of(w.model),
            physics=PHYSICS_FILES,
        output:
            summary=f"{RUN}/calibration/{{model}}/summary.json",
            table=f"{RUN}/calibration/{{model}}/groups.csv",
            figure=f"{RUN}/calibration/{{model}}/groups.svg",
        log:
            f"{RUN}/logs/calibrate_groups_{{model}}.log",
        benchmark:
            f"{RUN}/benchmarks/calibrate_groups_{{model}}.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(4000),
            runtime=growing(120),
            gpu=1 if config["device"] == "cuda" else 0,
        params:
            edition=EDITION,
            physics=PHYSICS,
            settings=config["calibration"]["settings"],
            sources=code("calibrate_groups", EDITION_CODE, family_code),
            seed=config["seed"],
            device=config["device"],
        script:
            "../scripts/calibrate_groups.py"

    rule fit_recalibration:
        input:
            members=lambda w: members(w.model),
            # Holds the members' shares.
            posterior=f"{RUN}/posteriors/test/{{model}}.nc",
            fitted=f"{RUN}/calibration/planets/fitted.nc",
            measured=f"{RUN}/calibration/planets/measured.nc",
        output:
            recalibration=f"{RUN}/calibration/{{model}}/recalibration.json",
            gain=f"{RUN}/calibration/{{model}}/gain.csv",
        log:
            f"{RUN}/logs/fit_recalibration_{{model}}.log",
        benchmark:
            f"{RUN}/benchmarks/fit_recalibration_{{model}}.tsv"
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(4000),
            runtime=growing(120),
            gpu=1 if config["device"] == "cuda" else 0,
        params:
            n_samples=CALIBRATION.n_samples,
            sources=code("fit_recalibration", family_code),
            seed=config["seed"],
            device=config["device"],
        script:
            "../scripts/fit_recalibration.py"
