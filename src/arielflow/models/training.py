"""Training of networks: Lightning with early stopping, best weights, resume and quiet progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn

from arielflow.settings.training import TrainingSettings

Loss = Callable[[str, Tensor, torch.Generator], Tensor]
"""Split (``train`` or ``valid``), row indices and a generator of noise, to a mean loss."""


def train(
    network: nn.Module,
    loss: Loss,
    n_rows: tuple[int, int],
    settings: TrainingSettings,
    *,
    seed: int,
    device: str = "auto",
    state_dir: Path | None = None,
    identity: str = "",
) -> pd.DataFrame:
    """Train a network in place, leaving the weights of the best validation loss in it.

    Without ``patience``, those of the last epoch.

    Under :func:`arielflow.models.distributed.launch` the processes share every batch and end with
    the same weights.

    Parameters
    ----------
    network
        Module whose parameters are trained.
    loss
        Mean loss of rows of a split; must use the generator for all noise it adds.
    n_rows
        Rows of the training and of the validation split.
    settings
        How the network is optimised.
    seed
        Seed of order, noise and dropout.
    device
        ``auto``, ``cpu`` or ``cuda``.
    state_dir
        An interrupted training is resumed from here, if ``identity`` is the same.
    identity
        Fingerprint of model, data and code.

    Returns
    -------
    pandas.DataFrame
        Columns ``epoch``, ``train_loss``, ``valid_loss``.

    Raises
    ------
    ArielflowError
        The device is not there.
    DivergedError
        A loss is not finite.
    Stopped
        SIGTERM stopped the training; what is complete is kept in ``state_dir``.
    """
    # Lightning takes seconds to import, which sampling a trained model need not wait for.
    from arielflow.models.training_loop import run_epochs

    return run_epochs(
        network,
        loss,
        n_rows,
        settings,
        seed=seed,
        device=device,
        state_dir=state_dir,
        identity=identity,
    )
