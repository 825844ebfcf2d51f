# Posteriors of the test planets: one mixture a model, the reference rows, and retrievals.


rule sample_posterior:
    input:
        members=lambda w: members(w.model),
        planets=f"{RUN}/ingested/{{split}}.nc",
    output:
        posterior=f"{RUN}/posteriors/{{split}}/{{model}}.nc",
    log:
        f"{RUN}/logs/sample_{{split}}_{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/sample_{{split}}_{{model}}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=3000,
        runtime=120,
        gpu=1 if config["device"] == "cuda" else 0,
    params:
        n_samples=config["posterior"]["n_samples"],
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
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        n_samples=config["posterior"]["n_samples"],
        seed=config["seed"],
    script:
        "../scripts/sample_prior.py"


# Asked for by name, such as results/default/posteriors/nested/public1.nc; takes minutes a planet.
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
    threads: 1
    resources:
        mem_mb=3000,
        runtime=240,
    params:
        edition=EDITION,
        physics=PHYSICS,
        sources=physics_sources,
        n_samples=config["posterior"]["n_samples"],
        seed=config["seed"],
        # No output, so that what an interrupted job leaves survives until its retry.
        state_folder=lambda w: f"{RUN}/state/nested/{w.planet}",
    script:
        "../scripts/retrieve_nested.py"
