# Names and small look-ups that the rules of editions with spectra share; nothing here reads data.
from arielflow.settings.editions import FACTS
from arielflow.settings.families import family_config
from arielflow.settings.calibration import CalibrationSettings
from arielflow.settings.run import RECALIBRATED, certified_models, model_spec

# Editions and families are imported by their names, which no import statement shows.
EDITION_CODE = f"arielflow.editions.{EDITION}"
MODELS = config["models"]
TRAINED = [m for m in MODELS if not model_spec(config, m)["members_of"]]
# Rows made from a model's posteriors through the forward model.
IMPORTANCE = [
    f"{model}_importance{suffix}"
    for model in config["importance"]["models"]
    for suffix in ("", "_fallback")
]
# Whose molecules are left out one by one: the draws that this starts from must be kept, and stand
# for single bins, which errors of unknown strength do not allow.
DETECTED = (
    config["importance"]["models"]
    if config["importance"]["settings"].get("kept_draws", 1)
    and config["importance"]["settings"].get("error_model", "none") == "none"
    else []
)
VARIATIONAL = ["flow_variational"] if config["variational"]["start"] else []
# Rows whose quantiles are mapped, by the models that they are made from.
MENDED = {model + RECALIBRATED: model for model in config["calibration"]["recalibrated"]}
ROWS = MODELS + IMPORTANCE + VARIATIONAL + list(MENDED)
CERTIFIED = certified_models(config)
# Principal components are what the autoencoders are compared with.
REPRESENTATIONS = ["pca"] + config["representation"]["models"]
DIMENSIONS = config["representation"]["dimensions"]
# The plain one is what the disentangled ones are compared with.
DISENTANGLED = config["disentangle"]["methods"]
DISENTANGLE_MODELS = ["variational_autoencoder"] + DISENTANGLED
CHEMISTRY = f"{RUN}/chemistry"
REFERENCES = ["prior"]
SIMULATED = config["dataset"]["path"] is None
TRAIN_FOLDER = f"{RUN}/dataset" if SIMULATED else config["dataset"]["path"]
# Files of the data set that are brought from elsewhere, by their names below its folder.
SOURCES = config["dataset"]["sources"]
STORED = [name for name, source in SOURCES.items() if source["url"].startswith("s3://")]
DOWNLOADED = [name for name in SOURCES if name not in STORED]
TEST_FOLDER = config["dataset"]["test_path"] or TRAIN_FOLDER
SIMULATED_TEST = TEST_FOLDER == f"{RUN}/dataset"
OBSERVED = EDITION == "wfc3"
# Truth of the test planets is known where they are simulated, and for the labelled WFC3 set.
TRUTH_FOLDER = f"{TEST_FOLDER}/TestTruth" if SIMULATED_TEST else None
SCORED = SIMULATED_TEST or EDITION == "wfc3"
if SIMULATED_TEST:
    REFERENCES.append("ceiling")
BUILTIN = config["physics"]["opacities"] == "builtin"
FAST = config["physics"]["mode"] == "fast"
PHYSICS = {
    "opacities": f"{RUN}/opacities" if BUILTIN else config["physics"]["opacities"],
    "nodes": f"{RUN}/nodes.npz" if FAST else None,
    "cia": config["physics"]["cia"],
}
# What a job that calls the forward model waits for; the record also tells which tables they were.
OPACITY_FILES = [f"{RUN}/opacities.json"] + ([PHYSICS["opacities"]] if BUILTIN else [])
PHYSICS_FILES = OPACITY_FILES + ([PHYSICS["nodes"]] if FAST else [])
SPLITS = ["train", "test"] + (["observed"] if OBSERVED else [])
SUBMITTED = FACTS[EDITION].submitted
SUBMISSION_FILES = (
    [f"{RUN}/submission/{config['submission']['model']}.hdf5"]
    + ([f"{RUN}/submission/{config['submission']['model']}.csv"] if EDITION == "adc2022" else [])
    if SUBMITTED
    else []
)

# What may not be in a planet's name where that names a file: the shell, or Snakemake's own command
# lines of its jobs, would read it otherwise. Blanks may, as in HD 209458 b; 7b to 7d are {|}.
UNNAMABLE = r"\s/\\'\"`$,\x00-\x1f\x7b-\x7d\x7f"


wildcard_constraints:
    split="train|test|observed",
    source="train|prior",
    chunk="[0-9]+",
    model="[a-z0-9_]+",
    representation="|".join(set(REPRESENTATIONS + DISENTANGLE_MODELS)),
    dimension="[0-9]+",
    member="[0-9]+",
    planet=rf"[^.{UNNAMABLE}](?:[^{UNNAMABLE}]| )*",


def model_settings(name):
    """Settings of a model of the run, with the defaults for what is left out."""
    return model_spec(config, name)


def recalibration_of(row):
    """The map of a recalibrated row's quantiles; none of another row."""
    return f"{RUN}/calibration/{MENDED[row]}/recalibration.json" if row in MENDED else []


def placement(name):
    """Where the processes of a model's training go: one task on one node starts them all there.

    A zero leaves the number of tasks to the executor.
    """
    processes, nodes = (model_settings(name)[key] for key in ("processes", "nodes"))
    gpus = processes if config["device"] == "cuda" else 0
    if nodes == 1:
        place = {"nodes": 1, "tasks": 0, "tasks_per_gpu": 0, "threads": processes}
    else:
        tasks = {"tasks": processes, "tasks_per_gpu": int(gpus > 0)}
        place = {"nodes": nodes, **tasks, "threads": 1}
    return place | {"gpus": gpus}


def members(name):
    """Folders of a model's trained members, its own or another model's."""
    settings = model_settings(name)
    owner = settings["members_of"] or name
    return expand(f"{RUN}/models/{owner}/{{member}}", member=range(settings["members"]))


def training_set(name):
    """Which planets a model is trained on: the data set's, or planets drawn from the prior."""
    return "train" if model_settings(name)["planets"] == "dataset" else "prior"


def annotated_files(name):
    """Planets, split and traces for a model that learns from traces."""
    settings = model_settings(name)
    if not family_config(settings["family"])(**settings["settings"]).needs_traces:
        return []
    return [f"{RUN}/ingested/{file}" for file in ("train.nc", "train_split.csv", "train_traces.nc")]


def family_code(wildcards):
    """Module of the family of a model of the run; a reference row has none."""
    name = MENDED.get(wildcards.model, wildcards.model)
    if name not in MODELS + list(config["model_settings"]):
        return None
    return f"arielflow.models.families.{model_settings(name)['family']}"


def representation_settings(wildcards):
    """Settings of a representation besides its dimension and the scaling of the spectra."""
    section = config["disentangle"]
    if wildcards.representation in DISENTANGLED:
        return section["settings"] | {"nuisance": section["nuisance"]}
    return config["representation"]["settings"]


def opacity_files(wildcards):
    """The user's opacity tables, so that a changed one reruns what it shapes."""
    return sorted(str(path) for path in Path(PHYSICS["opacities"]).glob("*") if path.is_file())


def dataset_files(split):
    """The files that ingesting a split reads."""
    folder = TEST_FOLDER if split == "test" and not OBSERVED else TRAIN_FOLDER
    brought = SOURCES if folder == TRAIN_FOLDER else []
    simulated = folder == f"{RUN}/dataset"
    return inputs.dataset_files(folder, EDITION, split, brought, simulated=simulated)


def marks(paths):
    """Size and time of files that the workflow does not make itself."""
    made = {f"{TRAIN_FOLDER}/{name}" for name in SOURCES}
    return inputs.file_marks([p for p in paths if p not in made and not p.startswith(f"{RUN}/")])


def posterior_of(wildcards):
    """Posterior file of a leaderboard row."""
    if wildcards.model == "ceiling":
        return f"{RUN}/truth/rerun.nc"
    if wildcards.model == "prior":
        return f"{RUN}/posteriors/reference/prior.nc"
    return f"{RUN}/posteriors/test/{wildcards.model}.nc"
