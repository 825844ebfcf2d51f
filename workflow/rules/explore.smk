# PCA, ICA and clusters of the spectra, learnt on the training split.


rule explore:
    input:
        train=f"{RUN}/ingested/train.nc",
        test=f"{RUN}/ingested/test.nc",
    output:
        exploration=f"{RUN}/exploration.nc",
    log:
        f"{RUN}/logs/explore.log",
    benchmark:
        f"{RUN}/benchmarks/explore.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=growing(2000),
        runtime=growing(30),
    params:
        settings=config["explore"],
        seed=config["seed"],
    script:
        "../scripts/explore.py"
