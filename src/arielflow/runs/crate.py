"""A finished run as a Workflow Run RO-Crate: what was run, on what, with what result.

Follows RO-Crate (Soiland-Reyes et al. 2022) with the Workflow Run profile (Leo et al. 2024): the
workflow is the main entity, one ``CreateAction`` says what it read and what it made.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from arielflow.core.files import atomic_path
from arielflow.core.readers import read_json_object

_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
}
_LICENSE = "https://spdx.org/licenses/BSD-3-Clause"
_FORMATS = {
    ".hdf5": "application/x-hdf5",
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".txt": "text/plain",
}


def write_crate(
    manifest_file: str | Path, results: Sequence[str | Path], workflow: str | Path, path: str | Path
) -> None:
    """Write a run as a zipped RO-Crate.

    The crate carries the workflow's Snakefile, the run's configuration, its manifest and its
    results. Inputs are named by path and SHA-256, not carried: they may be large, or not ours.

    Parameters
    ----------
    manifest_file
        The run's manifest (:func:`arielflow.runs.manifest.run_manifest`), in the run's folder.
    results
        Files that the run made, in the same folder or below it.
    workflow
        The Snakefile.
    path
        The ``.zip`` to write.
    """
    manifest_file = Path(manifest_file)
    manifest = read_json_object(manifest_file, ["config"], "run the rule manifest again")
    config = manifest["config"]
    crate = ROCrate()
    crate.name = f"arielflow run {config['run']}"
    crate.description = (
        f"Posteriors of the atmospheres in the {config['edition']} data set, with their scores, "
        "as arielflow made them."
    )
    crate.license = _LICENSE
    crate.root_dataset["conformsTo"] = [_profile(crate, *entry) for entry in _PROFILES.items()]
    properties = {"name": "arielflow", "version": manifest["packages"]["arielflow"]}
    if manifest["code"]["commit"]:
        properties["softwareVersion"] = manifest["code"]["commit"]
    main = crate.add_workflow(
        workflow,
        "Snakefile",
        main=True,
        lang="snakemake",
        lang_version=manifest["packages"]["snakemake"],
        properties=properties,
    )
    made = [
        _carried(crate, file, file.relative_to(manifest_file.parent).as_posix())
        for file in (manifest_file, *map(Path, results))
    ]
    settings = crate.add_file(
        StringIO(yaml.safe_dump(config, sort_keys=False)),
        "config.yaml",
        properties={"encodingFormat": "application/yaml"},
        record_size=True,
    )
    read = [_named(crate, entry) for entry in manifest["inputs"].values()]
    crate.add_action(
        main,
        object=[settings, *read],
        result=made,
        properties={
            "name": f"Run {config['run']} of arielflow",
            "endTime": manifest["created"],
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    with atomic_path(path) as temporary:
        crate.write_zip(temporary)


def _profile(crate: ROCrate, address: str, name: str) -> ContextEntity:
    properties = {"@type": "CreativeWork", "name": name, "version": address.rsplit("/", 1)[-1]}
    return crate.add(ContextEntity(crate, address, properties=properties))


def _carried(crate: ROCrate, file: Path, name: str) -> Any:
    properties = {"encodingFormat": _FORMATS.get(file.suffix, "text/plain")}
    return crate.add_file(file, name, properties=properties, record_size=True)


def _named(crate: ROCrate, entry: dict[str, str]) -> ContextEntity:
    properties = {"@type": "File", "name": entry["path"], "sha256": entry["sha256"]}
    return crate.add(ContextEntity(crate, f"#{entry['sha256']}", properties=properties))
