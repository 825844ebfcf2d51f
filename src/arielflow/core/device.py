"""The device that networks are evaluated on."""

from __future__ import annotations

import torch

from arielflow.core.errors import ArielflowError


def resolve_device(device: str) -> str:
    """``cpu`` or ``cuda``, for a setting that may also be ``auto``.

    Raises
    ------
    ArielflowError
        ``cuda`` is asked for and there is none, or the name is not known.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ArielflowError(f"device {device!r} is not known; choose auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ArielflowError("device cuda: PyTorch finds no CUDA device; use device: auto or cpu")
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
