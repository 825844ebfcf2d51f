# Names and small look-ups that all rules share; nothing here reads data.
from arielflow.core.code import code_digest, imported

RUN = f"results/{config['run']}"
EDITION = config["edition"]


def growing(first):
    """A resource that grows with every attempt of a job, so that a retry gets what it lacked."""
    return lambda wildcards, attempt: first * attempt


def code(script, *named):
    """What a rule carries to be run again after an edit of the code that its script calls.

    Named are further modules and packages of arielflow, or functions of the wildcards that give one.
    """
    modules = imported(Path(workflow.source_path(f"../scripts/{script}.py")))

    def digest(wildcards):
        names = [name(wildcards) if callable(name) else name for name in named]
        return code_digest(*modules, *filter(None, names))

    return digest


def published(name):
    """A file of the run in the storage that results are copied to."""
    return storage(f"{config['publish']}/{config['run']}/{name}")
