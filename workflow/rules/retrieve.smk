# Posteriors of the test planets: one mixture per model, the reference rows, and retrievals.


rule sample_posterior:
    input:
        members=lambda w: members(w.model),
        planets=f"{RUN}/ingested/{{split}}.nc",
        valid=lambda w: (
            [f"{RUN}/ingested/{training_set(w.model)}{end}" for end in (".nc", "_split.csv")]
            if model_settings(w.model)["mixing"] == "stacking"
            else []
        ),
    output:
        posterior=f"{RUN}/posteriors/{{split}}/{{model}}.nc",
    log:
        f"{RUN}/logs/sample_{{split}}_{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/sample_{{split}}_{{model}}.tsv"
    wildcard_constraints:
        model="|".join(MODELS),
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(60),
        gpu=1 if config["device"] == "cuda" else 0,
    params:
        n_samples=config["posterior"]["n_samples"],
        sources=code("sample_posterior", family_code),
        seed=config["seed"],
        device=config["device"],
    script:
        "../scripts/sample_posterior.py"


rule sample_prior:
    input:
        planets=f"{RUN}/ingested/test.nc",
    output:
        posterior=f"{RUN}/posteriors/reference/prior.nc",
    log:
        f"{RUN}/logs/sample_prior.log",
    benchmark:
        f"{RUN}/benchmarks/sample_prior.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(10),
    params:
        n_samples=config["posterior"]["n_samples"],
        sources=code("sample_prior"),
        seed=config["seed"],
    script:
        "../scripts/sample_prior.py"


# Planets are dealt to a fixed number of jobs, so that the plan is known before the data are. A
# planet's fall-back on nested sampling runs inside its chunk's job.
rule sample_importance:
    input:
        members=lambda w: members(w.model),
        posterior=f"{RUN}/posteriors/test/{{model}}.nc",
        planets=f"{RUN}/ingested/test.nc",
        physics=PHYSICS_FILES,
    output:
        importance=f"{RUN}/posteriors/chunks/{{model}}_importance/{{chunk}}.nc",
        fallback=f"{RUN}/posteriors/chunks/{{model}}_importance_fallback/{{chunk}}.nc",
    log:
        f"{RUN}/logs/sample_importance_{{model}}_{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/sample_importance_{{model}}_{{chunk}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
        gpu=1 if config["device"] == "cuda" else 0,
    params:
        edition=EDITION,
        physics=PHYSICS,
        sources=code("sample_importance", EDITION_CODE, family_code),
        settings=config["importance"]["settings"],
        fallback=config["importance"]["fallback"],
        chunks=config["posterior"]["chunks"],
        n_samples=config["posterior"]["n_samples"],
        seed=config["seed"],
        device=config["device"],
        # No output, so that an interrupted job's checkpoints survive until its retry.
        state_dir=lambda w: f"{RUN}/state/importance/{w.model}/{w.chunk}",
    script:
        "../scripts/sample_importance.py"


rule sample_variational:
    input:
        start=(
            [f"{RUN}/posteriors/test/{config['variational']['start']}.nc"]
            if config["variational"]["start"] in MODELS
            else []
        ),
        planets=f"{RUN}/ingested/test.nc",
        physics=PHYSICS_FILES,
    output:
        posterior=f"{RUN}/posteriors/chunks/flow_variational/{{chunk}}.nc",
    log:
        f"{RUN}/logs/sample_variational_{{chunk}}.log",
    benchmark:
        f"{RUN}/benchmarks/sample_variational_{{chunk}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(480),
    params:
        edition=EDITION,
        physics=PHYSICS,
        sources=code("sample_variational", EDITION_CODE),
        settings=config["variational"]["settings"],
        chunks=config["posterior"]["chunks"],
        n_samples=config["posterior"]["n_samples"],
        seed=config["seed"],
    script:
        "../scripts/sample_variational.py"


rule gather_posterior:
    input:
        chunks=expand(
            f"{RUN}/posteriors/chunks/{{{{row}}}}/{{chunk}}.nc",
            chunk=range(config["posterior"]["chunks"]),
        ),
        planets=f"{RUN}/ingested/test.nc",
    output:
        posterior=f"{RUN}/posteriors/test/{{row}}.nc",
    log:
        f"{RUN}/logs/gather_{{row}}.log",
    benchmark:
        f"{RUN}/benchmarks/gather_{{row}}.tsv"
    wildcard_constraints:
        row="|".join(IMPORTANCE + VARIATIONAL) or "none",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(10),
    params:
        sources=code("gather_posterior"),
    script:
        "../scripts/gather_posterior.py"


rule recalibrate_posterior:
    input:
        posterior=lambda w: f"{RUN}/posteriors/test/{MENDED[w.row]}.nc",
        planets=f"{RUN}/ingested/test.nc",
        recalibration=lambda w: recalibration_of(w.row),
    output:
        posterior=f"{RUN}/posteriors/test/{{row}}.nc",
    log:
        f"{RUN}/logs/recalibrate_{{row}}.log",
    benchmark:
        f"{RUN}/benchmarks/recalibrate_{{row}}.tsv"
    wildcard_constraints:
        row="|".join(MENDED) or "none",
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(30),
    params:
        sources=code("recalibrate_posterior"),
    script:
        "../scripts/recalibrate_posterior.py"


# Asked for by name, such as results/default/posteriors/nested/public1.nc; takes minutes.
rule retrieve_nested:
    input:
        planets=f"{RUN}/ingested/test.nc",
        physics=PHYSICS_FILES,
    output:
        posterior=f"{RUN}/posteriors/nested/{{planet}}.nc",
    log:
        f"{RUN}/logs/retrieve_nested_{{planet}}.log",
    benchmark:
        f"{RUN}/benchmarks/retrieve_nested_{{planet}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(3000),
        runtime=growing(240),
    params:
        edition=EDITION,
        physics=PHYSICS,
        sources=code("retrieve_nested", EDITION_CODE),
        n_samples=config["posterior"]["n_samples"],
        seed=config["seed"],
        # No output, so that what an interrupted job leaves survives until its retry.
        state_dir=lambda w: f"{RUN}/state/nested/{w.planet}",
    script:
        "../scripts/retrieve_nested.py"
