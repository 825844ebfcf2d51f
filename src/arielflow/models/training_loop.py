"""Training loops: Lightning with early stopping, best weights, resume and quiet progress."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from arielflow.core.device import resolve_device
from arielflow.core.errors import DivergedError
from arielflow.models.distributed import ALONE, Processes
from arielflow.models.training import Loss
from arielflow.models.training_state import StopBetweenBatches, TrainingState, leave_aside
from arielflow.settings.training import TrainingSettings

log = logging.getLogger(__name__)


class _Batches(IterableDataset):
    """Row indices of one epoch's batches; the order follows from seed and epoch alone.

    Every process takes its share of each batch, so that a step sees ``batch_size`` rows however
    many processes there are.
    """

    def __init__(
        self, n_rows: int, batch_size: int, seed: int | None, processes: Processes = ALONE
    ) -> None:
        self.n_rows, self.batch_size, self.seed, self.epoch = n_rows, batch_size, seed, 0
        self.processes = processes

    def __len__(self) -> int:
        # A last batch with fewer rows than processes is left out: all must take the same steps.
        full, rest = divmod(self.n_rows, self.batch_size)
        return full + (rest >= self.processes.count)

    def __iter__(self) -> Iterator[Tensor]:
        # A generator, so that the epoch is read at the first batch: Lightning makes the iterator
        # of a resumed epoch before it says which epoch that is.
        order = torch.arange(self.n_rows)
        if self.seed is not None:
            order = torch.from_numpy(
                np.random.default_rng([self.seed, self.epoch]).permutation(self.n_rows)
            )
        for batch in order.split(self.batch_size)[: len(self)]:
            yield batch[self.processes.rank :: self.processes.count]


def _parameter_groups(network: nn.Module, settings: TrainingSettings) -> list[dict[str, Any]]:
    """Parameters by their weight decay and learning rate.

    A parameter may have the attributes ``undecayed`` (true for no weight decay) and
    ``learning_rate_factor``.
    """
    groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
    for parameter in network.parameters():
        kind = getattr(parameter, "undecayed", False), getattr(parameter, "learning_rate_factor", 1)
        groups.setdefault(kind, []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": 0.0 if undecayed else settings.weight_decay,
            "lr": factor * settings.learning_rate,
        }
        for (undecayed, factor), parameters in groups.items()
    ]


class _Task(lightning.LightningModule):
    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        settings: TrainingSettings,
        seed: int,
        steps: int,
        rank: int = 0,
    ) -> None:
        super().__init__()
        self.network, self.loss, self.settings = network, loss, settings
        self.seed, self.total_steps, self.rank_seed = seed, steps, [rank] if rank else []
        self.noise = torch.Generator()
        self.epoch_losses: list[Tensor] = []

    def on_train_epoch_start(self) -> None:
        # Seeded by the epoch, so that a resumed training draws what an uninterrupted one would.
        entropy = [self.seed, self.current_epoch, *self.rank_seed]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        torch.manual_seed(seed)
        self.noise.manual_seed(seed)
        self.trainer.train_dataloader.dataset.epoch = self.current_epoch
        self.epoch_losses.clear()

    def training_step(self, rows: Tensor, _: int) -> Tensor:
        loss = self.loss("train", rows, self.noise)
        self.epoch_losses.append(loss.detach())
        return loss

    def on_validation_epoch_start(self) -> None:
        self.validation_noise = torch.Generator().manual_seed(self.seed)

    def validation_step(self, rows: Tensor, _: int) -> None:
        loss = self.loss("valid", rows, self.validation_noise)
        self.log("valid_loss", loss, batch_size=len(rows), on_epoch=True)

    def configure_optimizers(self):
        settings = self.settings
        # One kernel for all parameters, on any device, instead of a dozen calls for each.
        optimizer = torch.optim.AdamW(_parameter_groups(self.network, settings), fused=True)
        if settings.schedule == "constant":
            return optimizer
        # A tenth of the steps rises to the full rate; of ten, PyTorch divides by zero for that one.
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            [group["lr"] for group in optimizer.param_groups],
            total_steps=self.total_steps,
            pct_start=0.2 if self.total_steps == 10 else 0.1,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


class _History(Callback):
    """Losses of every epoch; part of the checkpoints, so that it survives a resume.

    Attributes
    ----------
    rows : list[dict[str, float]]
        Epoch, training and validation loss.
    begun
        Training went on from whatever it was to start from.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.begun = False

    def words(self) -> str:
        """How far the training is."""
        return f"after epoch {self.rows[-1]['epoch']}" if self.rows else "in the first epoch"

    def on_train_start(self, trainer, task) -> None:
        self.begun = True

    def on_validation_epoch_end(self, trainer, task) -> None:
        if trainer.sanity_checking or not task.epoch_losses:
            return
        row = {
            "epoch": trainer.current_epoch,
            "train_loss": float(task.all_gather(torch.stack(task.epoch_losses).mean()).mean()),
            "valid_loss": float(trainer.callback_metrics["valid_loss"]),
        }
        if not np.isfinite([row["train_loss"], row["valid_loss"]]).all():
            raise DivergedError(
                f"training diverged in epoch {row['epoch']}: its training loss is "
                f"{row['train_loss']:g}, its validation loss {row['valid_loss']:g}; lower the "
                "learning rate or check the data"
            )
        self.rows.append(row)
        if row["epoch"] % 5 == 0:
            log.info("epoch %(epoch)d: train %(train_loss).4f, valid %(valid_loss).4f", row)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": list(self.rows)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = list(state["rows"])


def run_epochs(
    network: nn.Module,
    loss: Loss,
    n_rows: tuple[int, int],
    settings: TrainingSettings,
    *,
    seed: int,
    device: str,
    state_dir: Path | None,
    identity: str,
) -> pd.DataFrame:
    """Train a network in place, see :func:`arielflow.models.training.train`."""
    processes = Processes.found()
    with TemporaryDirectory() as scratch:
        state = TrainingState(Path(state_dir or scratch), identity)
        ended = state.restore(network)
        if ended is not None:
            return pd.DataFrame(ended)
        order = seed if settings.shuffle else None
        loaders = [
            # A generator of its own: from the global one, which dropout uses, it would draw before
            # the epoch's seed where the training is resumed, and after it where not.
            DataLoader(batches, batch_size=None, generator=torch.Generator())
            for batches in (
                _Batches(n_rows[0], settings.batch_size, order, processes),
                _Batches(n_rows[1], 4 * settings.batch_size, None),
            )
        ]
        steps = settings.epochs * len(loaders[0].dataset)
        fresh = {name: value.clone() for name, value in network.state_dict().items()}
        for checkpoint in [*state.checkpoints(), None]:
            task = _Task(network, loss, settings, seed, steps, processes.rank)
            history = _History()
            try:
                trainer, kept = _fit(task, history, loaders, device, state.folder, checkpoint)
                break
            except Exception as error:
                if checkpoint is None or history.begun:
                    raise
                leave_aside(checkpoint, error)
                network.load_state_dict(fresh)
        content = torch.load(kept, map_location="cpu", weights_only=True)["state_dict"]
        prefix = "network."
        weights = {k.removeprefix(prefix): v for k, v in content.items() if k.startswith(prefix)}
        if processes.rank == 0:
            state.finish(weights, history.rows)
        trainer.strategy.barrier()
        network.load_state_dict(weights)
        network.to("cpu").eval()
        return pd.DataFrame(history.rows)


def _fit(
    task: _Task,
    history: _History,
    loaders: list[DataLoader],
    device: str,
    folder: Path,
    checkpoint: Path | None,
) -> tuple[lightning.Trainer, str]:
    """Run the epochs, those after the checkpoint if there is one; the file with the result."""
    settings, processes = task.settings, Processes.found()
    # Lightning's own save_last only saves where the validation loss is the best so far.
    last, best = (
        ModelCheckpoint(folder, filename=name, monitor=monitor, enable_version_counter=False)
        for name, monitor in (("last", None), ("best", "valid_loss"))
    )
    callbacks, kept = [history, best, last], last
    if settings.patience is not None:
        callbacks.append(EarlyStopping("valid_loss", patience=settings.patience))
        kept = best
    if checkpoint is not None:
        log.info("resuming from %s", checkpoint)
    with (
        warnings.catch_warnings(),
        StopBetweenBatches(processes.count == 1, history.words) as stop,
    ):
        warnings.simplefilter("ignore")
        _quieten()
        trainer = lightning.Trainer(
            max_epochs=settings.epochs,
            accelerator="gpu" if resolve_device(device) == "cuda" else "cpu",
            devices=processes.count // processes.nodes,
            num_nodes=processes.nodes,
            strategy="ddp" if processes.count > 1 else "auto",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            gradient_clip_val=settings.clip_gradient,
            callbacks=[*callbacks, stop],
        )
        trainer.fit(task, *loaders, ckpt_path=checkpoint, weights_only=True)
    return trainer, kept.best_model_path


def _quieten() -> None:
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.ERROR)
