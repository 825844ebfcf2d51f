# Data that come from elsewhere; only where the configuration asks.


if DOWNLOADED:

    rule download:
        output:
            file=f"{TRAIN_FOLDER}/{{file}}",
        log:
            f"{RUN}/logs/download/{{file}}.log",
        wildcard_constraints:
            file="|".join(re.escape(name) for name in DOWNLOADED),
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(500),
            runtime=growing(240),
        params:
            url=lambda w: SOURCES[w.file]["url"],
            checksum=lambda w: SOURCES[w.file]["checksum"],
        script:
            "../scripts/download.py"


# Copies of what Snakemake's storage plugin brings: the data set is one folder for all that read it.
if STORED:

    rule fetch:
        input:
            file=lambda w: storage(SOURCES[w.file]["url"]),
        output:
            file=f"{TRAIN_FOLDER}/{{file}}",
        log:
            f"{RUN}/logs/fetch/{{file}}.log",
        wildcard_constraints:
            file="|".join(re.escape(name) for name in STORED),
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(500),
            runtime=growing(120),
        shell:
            "cp {input.file:q} {output.file:q} 2> {log:q}"
