"""Networks as safetensors files: a file is compared with the network before it is believed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from arielflow.core.array_files import read_safetensors
from arielflow.core.readers import guarded, listed
from arielflow.models.description import REMEDY

Build = Callable[[dict[str, Tensor], dict[str, str]], nn.Module]
"""Tensors and metadata of a file to the untrained network that they are the state of."""

_FACTORIES = ("empty", "zeros", "ones", "full", "rand", "randn", "arange", "eye")
# What building takes beyond the state itself: initial values, copies of a part, masks.
_BYTES_PER_STORED_BYTE = 8
_SPARE_BYTES = 1 << 26


class _Budget(TorchDispatchMode):
    """Lets tensors be made until they take more bytes in all than allowed."""

    def __init__(self, n_bytes: int) -> None:
        super().__init__()
        self.left = n_bytes

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.name().removeprefix("aten::").partition(".")[0].removeprefix("new_")
        if name in _FACTORIES:
            sizes = [a if isinstance(a, int) else prod(a) for a in args if _is_size(a)]
            self.left -= 8 * max(sizes, default=0)
            if self.left < 0:
                raise ValueError("its description asks for a network far larger than its file")
        return function(*args, **(kwargs or {}))


def _is_size(argument: object) -> bool:
    if isinstance(argument, list | tuple):
        return all(isinstance(size, int) for size in argument)
    return isinstance(argument, int)


def save_network(network: nn.Module, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write a network's state, on the CPU; the same one always gives the same bytes."""
    state = {name: value.contiguous() for name, value in network.cpu().state_dict().items()}
    content = save(state)
    # By itself safetensors writes metadata in an order that changes from run to run.
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    if metadata is not None:
        header = {"__metadata__": dict(metadata)} | header
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[start:])


def load_network(path: Path, build: Build) -> nn.Module:
    """Read what :func:`save_network` wrote.

    Parameters
    ----------
    path
        Safetensors file.
    build
        Makes the untrained network; must not take memory but for tensors.

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    ArielflowError
        The file is damaged, or does not hold the state of the network that its description says.
    """
    arrays, metadata = read_safetensors(path, REMEDY)
    with guarded(path, "network of this version", REMEDY):
        state = {name: torch.from_numpy(values) for name, values in arrays.items()}
        stored = sum(value.nbytes for value in state.values())
        with _Budget(_BYTES_PER_STORED_BYTE * stored + _SPARE_BYTES):
            network = build(state, metadata)
        if fault := _state_fault(network.state_dict(), state):
            raise ValueError(fault)
        network.load_state_dict(state)
    return network.eval()


def _state_fault(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str | None:
    """Why a file's state is not one of this network, None if it is."""
    if missing := [name for name in own if name not in state]:
        return f"{listed(missing, 2)} is missing"
    if surplus := [name for name in state if name not in own]:
        return f"{listed(surplus, 2)} is not part of it"
    for name, expected in own.items():
        value = state[name]
        if (value.shape, value.dtype) != (expected.shape, expected.dtype):
            return (
                f"{name} has shape {tuple(value.shape)} of {value.dtype}, expected "
                f"{tuple(expected.shape)} of {expected.dtype}"
            )
        if value.is_floating_point() and not value.isfinite().all():
            return f"{name} holds values that are not finite"
        # Integers are positions (of masks, permutations), which the settings alone decide.
        if not value.is_floating_point() and not torch.equal(value, expected):
            return f"{name} holds other positions than its settings give"
    return None
