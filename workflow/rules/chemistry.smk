# A reaction network and its compressed stand-in; made on request alone: snakemake chemistry.


rule chemistry:
    input:
        f"{CHEMISTRY}/index.html",


rule solve_clouds:
    output:
        clouds=f"{CHEMISTRY}/clouds.nc",
    log:
        f"{CHEMISTRY}/logs/solve_clouds.log",
    benchmark:
        f"{CHEMISTRY}/benchmarks/solve_clouds.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        settings=config["chemistry"],
        sources=code("solve_clouds"),
        seed=config["seed"],
    script:
        "../scripts/solve_clouds.py"


rule compress_network:
    input:
        clouds=f"{CHEMISTRY}/clouds.nc",
    output:
        model=directory(f"{CHEMISTRY}/model"),
        history=f"{CHEMISTRY}/history.csv",
    log:
        f"{CHEMISTRY}/logs/compress_network.log",
    benchmark:
        f"{CHEMISTRY}/benchmarks/compress_network.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(240),
        gpu=1 if config["device"] == "cuda" else 0,
    params:
        settings=config["chemistry"],
        sources=code("compress_network"),
        seed=config["seed"],
        device=config["device"],
        # Not an output: Snakemake deletes declared outputs before a rerun.
        state_dir=f"{RUN}/state/chemistry",
    script:
        "../scripts/compress_network.py"


rule evaluate_compression:
    input:
        model=f"{CHEMISTRY}/model",
        clouds=f"{CHEMISTRY}/clouds.nc",
    output:
        evaluation=f"{CHEMISTRY}/evaluation.nc",
    log:
        f"{CHEMISTRY}/logs/evaluate_compression.log",
    benchmark:
        f"{CHEMISTRY}/benchmarks/evaluate_compression.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        settings=config["chemistry"],
        sources=code("evaluate_compression"),
    script:
        "../scripts/evaluate_compression.py"


rule report_chemistry:
    input:
        model=f"{CHEMISTRY}/model",
        history=f"{CHEMISTRY}/history.csv",
        evaluation=f"{CHEMISTRY}/evaluation.nc",
    output:
        page=f"{CHEMISTRY}/index.html",
        figures=directory(f"{CHEMISTRY}/figures"),
    log:
        f"{CHEMISTRY}/logs/report_chemistry.log",
    benchmark:
        f"{CHEMISTRY}/benchmarks/report_chemistry.tsv"
    conda:
        "../../environment.yml"
    resources:
        mem_mb=growing(2000),
        runtime=growing(60),
    params:
        run=config["run"],
        settings=config["chemistry"],
        sources=code("report_chemistry"),
    script:
        "../scripts/report_chemistry.py"
