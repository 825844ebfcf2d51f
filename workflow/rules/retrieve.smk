# Posteriors of the test planets: one mixture a model, and the reference rows.


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
