# One job per member of a model's ensemble, the search of its settings, and the surrogate of the
# forward model.


rule train_model:
    input:
        planets=lambda w: f"{RUN}/ingested/{training_set(w.model)}.nc",
        split=lambda w: f"{RUN}/ingested/{training_set(w.model)}_split.csv",
        annotated=lambda w: annotated_files(w.model),
    output:
        model=directory(f"{RUN}/models/{{model}}/{{member}}"),
        history=f"{RUN}/histories/{{model}}/{{member}}.csv",
    log:
        f"{RUN}/logs/train_{{model}}_{{member}}.log",
    benchmark:
        f"{RUN}/benchmarks/train_{{model}}_{{member}}.tsv"
    conda:
        "../../environment.yml"
    threads: lambda w: placement(w.model)["threads"]
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
        nodes=lambda w: placement(w.model)["nodes"],
        tasks=lambda w: placement(w.model)["tasks"],
        tasks_per_gpu=lambda w: placement(w.model)["tasks_per_gpu"],
        gpu=lambda w: placement(w.model)["gpus"],
    params:
        spec=lambda w: model_settings(w.model),
        sources=code("train_model", family_code),
        seed=config["seed"],
        device=config["device"],
        # Not an output: Snakemake deletes declared outputs before a rerun, and with them what an
        # interrupted training resumes from.
        state_dir=lambda w: f"{RUN}/state/{w.model}/{w.member}",
    script:
        "../scripts/train_model.py"


# Made on request alone: snakemake results/<run>/tuning/<model>.yaml
rule tune_model:
    input:
        planets=lambda w: f"{RUN}/ingested/{training_set(w.model)}.nc",
        split=lambda w: f"{RUN}/ingested/{training_set(w.model)}_split.csv",
        annotated=lambda w: annotated_files(w.model),
    output:
        settings=f"{RUN}/tuning/{{model}}.yaml",
        trials=f"{RUN}/tuning/{{model}}.csv",
    log:
        f"{RUN}/logs/tune_{{model}}.log",
    benchmark:
        f"{RUN}/benchmarks/tune_{{model}}.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(720),
        gpu=1 if config["device"] == "cuda" else 0,
    params:
        spec=lambda w: model_settings(w.model),
        tuning=config["tuning"],
        sources=code("tune_model", family_code),
        seed=config["seed"],
        device=config["device"],
        # Not an output: more trials, or a run after an interruption, continue the study.
        database=lambda w: f"{RUN}/state/tuning/{w.model}.db",
    script:
        "../scripts/tune_model.py"


# Made on request alone: no rule of the default run needs a surrogate.
rule train_surrogate:
    input:
        planets=f"{RUN}/ingested/train.nc",
        split=f"{RUN}/ingested/train_split.csv",
    output:
        model=directory(f"{RUN}/surrogate/model"),
        history=f"{RUN}/surrogate/history.csv",
    log:
        f"{RUN}/logs/train_surrogate.log",
    benchmark:
        f"{RUN}/benchmarks/train_surrogate.tsv"
    conda:
        "../../environment.yml"
    threads: 2
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
        gpu=1 if config["device"] == "cuda" else 0,
    params:
        settings=config["surrogate"]["settings"],
        sources=code("train_surrogate"),
        seed=config["seed"],
        device=config["device"],
        # Not an output, for the reason given above.
        state_dir=f"{RUN}/state/surrogate",
    script:
        "../scripts/train_surrogate.py"
