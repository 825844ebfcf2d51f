# Results that go elsewhere; only where the configuration asks.


if config["publish"]:

    rule publish:
        input:
            file=f"{RUN}/{{file}}",
        output:
            file=published("{file}"),
        log:
            f"{RUN}/logs/publish/{{file}}.log",
        conda:
            "../../environment.yml"
        resources:
            mem_mb=growing(500),
            runtime=growing(60),
        script:
            "../scripts/publish.py"
