"""The forward model of an edition: its molecules, its bins, the opacities and mode chosen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from arielflow.core.device import resolve_device
from arielflow.core.errors import ArielflowError
from arielflow.core.files import sha256
from arielflow.core.schema import MOLECULES
from arielflow.editions import Edition
from arielflow.physics.cia import cia_files, load_cia
from arielflow.physics.forward import (
    PhysicsSettings,
    fast_or_reference,
    fingerprint,
    transmission_model,
)
from arielflow.physics.nodes import (
    FastTransmission,
    NodeSet,
    read_nodes,
    write_nodes,
)
from arielflow.physics.opacity_cache import (
    cache_folder,
    describe_opacities,
    load_opacities,
)
from arielflow.physics.transmission import TransmissionModel
from arielflow.settings.nodes import NodeSettings

log = logging.getLogger(__name__)

NODES_SEED = 2026
"""Seed of the atmospheres that nodes in the user's cache are chosen on."""

Progress = Callable[[int, int], None]
"""Called with the number of planets done and of all."""


def edition_molecules(edition: Edition) -> list[str]:
    """Absorbing molecules among an edition's targets, in its order."""
    return [target.quantity for target in edition.targets if target.quantity in MOLECULES]


def edition_model(
    edition: Edition,
    physics: PhysicsSettings,
    *,
    extra_molecules: Sequence[str] = (),
    device: str = "cpu",
) -> TransmissionModel | FastTransmission:
    """The forward model for an edition's molecules (and further ones) and bins."""
    molecules = [*edition_molecules(edition), *extra_molecules]
    bins = edition.wavelength_um, edition.wavelength_width_um
    return fast_or_reference(molecules, physics, *bins, device=device)


def log_limits(model: TransmissionModel | FastTransmission, what: str) -> None:
    """Log how many of a model's spectra met the limits of its tables or its nodes."""
    log.info(
        "%s: %d spectra, %d clamped to a table's temperatures, %d outside the fast mode",
        *(what, model.calls, model.clamped),
        model.outside if isinstance(model, FastTransmission) else 0,
    )


def edition_opacities(edition: Edition, physics: PhysicsSettings) -> dict[str, dict[str, str]]:
    """Read all tables that a run will need, and return the file and checksum of each.

    Raises
    ------
    ArielflowError
        A table is missing, damaged or covers too little.
    """
    molecules = edition_molecules(edition)
    load_opacities(
        physics.opacities, tuple(molecules), edition.wavelength_um, edition.wavelength_width_um
    )
    record = describe_opacities(physics.opacities, molecules)
    if physics.cia:
        load_cia(physics.opacities)
        for path in cia_files(physics.opacities):
            record[path.stem] = {"path": str(path), "sha256": sha256(path)}
    return record


def build_edition_nodes(
    edition: Edition,
    physics: PhysicsSettings,
    *,
    seed: int,
    extra_molecules: Sequence[str] = (),
    device: str = "cpu",
    progress: Progress | None = None,
) -> NodeSet:
    """Make the fast mode's nodes for an edition and write them to ``physics.nodes``."""
    molecules = [*edition_molecules(edition), *extra_molecules]
    bins = edition.wavelength_um, edition.wavelength_width_um
    model = transmission_model(molecules, physics, *bins, device=resolve_device(device))
    # Takes a second to import (scikit-learn), and most jobs find the nodes made.
    from arielflow.physics.node_selection import build_nodes

    nodes = build_nodes(
        model,
        edition_fingerprint(edition, physics, extra_molecules),
        settings=NodeSettings(seed=seed),
        progress=progress,
    )
    write_nodes(nodes, physics.nodes)
    return nodes


def edition_fingerprint(
    edition: Edition, physics: PhysicsSettings, extra_molecules: Sequence[str] = ()
) -> str:
    """Checksum of the tables, bins, settings and code that shape an edition's spectra."""
    molecules = [*edition_molecules(edition), *extra_molecules]
    return fingerprint(molecules, physics, edition.wavelength_um, edition.wavelength_width_um)


def model_fingerprint(edition: Edition, physics: PhysicsSettings) -> str:
    """Checksum of all that shapes a planet's spectrum in the mode chosen, its nodes included."""
    mode = sha256(physics.nodes) if physics.nodes else "reference"
    return f"{edition_fingerprint(edition, physics)} {mode}"


def nodes_file(
    edition: Edition,
    physics: PhysicsSettings,
    extra_molecules: Sequence[str] = (),
    *,
    seed: int = NODES_SEED,
) -> Path:
    """Where the user's cache keeps the nodes for these tables."""
    mark = edition_fingerprint(edition, physics, extra_molecules)
    return cache_folder() / "nodes" / f"{mark}-{seed}.npz"


def _usable(path: Path) -> bool:
    """Whether the cache has these nodes undamaged."""
    if not path.is_file():
        return False
    try:
        return read_nodes(path).fingerprint == path.stem
    except ArielflowError as error:
        log.warning("%s", error)
        return False


def fast_physics(
    edition: Edition,
    physics: PhysicsSettings,
    *,
    seed: int = NODES_SEED,
    extra_molecules: Sequence[str] = (),
    progress: Progress | None = None,
) -> PhysicsSettings:
    """The same settings in the fast mode; its nodes are made unless the user's cache has them.

    Parameters
    ----------
    edition, physics, extra_molecules
        What the nodes are for.
    seed
        Seed of the atmospheres that the nodes are chosen on.
    progress
        Called with the planets done and of all, while nodes are made.
    """
    path = nodes_file(edition, physics, extra_molecules, seed=seed)
    fast = replace(physics, nodes=str(path))
    if not _usable(path):
        build_edition_nodes(
            edition, fast, seed=seed, extra_molecules=extra_molecules, progress=progress
        )
    return fast
