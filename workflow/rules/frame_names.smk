# Names and small look-ups that the rules of editions with detector frames share.
from arielflow.runs.frame_runs import TABLES, chunks, frame_files, planets_to_submit, split_planets

# Editions and extractors are imported by their names, which no import statement shows.
EDITION_CODE = f"arielflow.editions.{EDITION}"
FRAMES = config["frames"]
FOLDER = FRAMES["path"]
LABELS = f"{FOLDER}/{TABLES[EDITION]['labels']}"
PLANETS = {"train": split_planets(FOLDER, "train"), "test": planets_to_submit(FOLDER)}
CHUNKS = {split: chunks(names, FRAMES["planets_per_job"]) for split, names in PLANETS.items()}
# The floor, constant, is what every other row falls back on.
EXTRACTORS = list(dict.fromkeys(["constant", *FRAMES["extractors"], FRAMES["submitted"]]))
SUBMISSION = f"{RUN}/submission/{FRAMES['submitted']}.csv"
SUBMISSION_FILES = [SUBMISSION] if PLANETS["test"] else []
SPLITS = [split for split, names in PLANETS.items() if names]


wildcard_constraints:
    split="train|test",
    scored="validation|test",
    chunk="[0-9]+",
    extractor="[a-z0-9_]+",


def extractor_code(wildcards):
    """Module of an extractor."""
    return f"arielflow.models.extractors.{wildcards.extractor}"
