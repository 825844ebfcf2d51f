"""What a training keeps: checkpoints that it resumes from, its end, and how it is stopped.

The folder may be shared. Of its files weights and plain values alone are read, and nothing in them
is executed.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Self

import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from arielflow.core.array_files import check_zip
from arielflow.core.errors import Stopped
from arielflow.core.files import atomic_path
from arielflow.core.readers import shown

log = logging.getLogger(__name__)

# What a training that ended leaves, so that a job killed after it does not train on.
_FINISHED = "finished.pt"


class TrainingState:
    """Folder of one training; what another training left in it is removed.

    Parameters
    ----------
    folder
        Made if it is not there.
    identity
        Fingerprint of model, data and code.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / "fingerprint.txt"
        if mark.is_file() and mark.read_bytes() == identity.encode():
            return
        left = [*folder.glob("*.ckpt"), *folder.glob(_FINISHED)]
        if left:
            log.warning("%s: of other settings, data or code; training afresh", folder)
        for path in left:
            path.unlink(missing_ok=True)  # another process of the training may have been faster
        mark.write_text(identity)

    def checkpoints(self) -> list[Path]:
        """Readable checkpoints, the latest first.

        The best one stands in where a kill fell into the writing of the last one.
        """
        files = (self.folder / "last.ckpt", self.folder / "best.ckpt")
        return [path for path in files if path.is_file() and read_weights(path) is not None]

    def finish(self, weights: dict[str, Tensor], history: Sequence[dict[str, float]]) -> None:
        """Write the end of the training."""
        with atomic_path(self.folder / _FINISHED) as temporary:
            torch.save({"weights": weights, "history": list(history)}, temporary)

    def restore(self, network: nn.Module) -> list[dict[str, float]] | None:
        """Put a finished training's weights into the network; its history, None if unfinished."""
        path = self.folder / _FINISHED
        finished = read_weights(path) if path.is_file() else None
        if finished is None:
            return None
        try:
            history = [_history_row(**row) for row in finished["history"]]
            network.load_state_dict(finished["weights"])
        except Exception as error:  # whatever a foreign file makes of it
            leave_aside(path, error)
            return None
        network.to("cpu").eval()
        return history


def read_weights(path: Path) -> dict[str, Any] | None:
    """Content of a PyTorch file, weights and plain values alone; None if that cannot be had."""
    try:
        check_zip(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise TypeError(f"holds {type(content).__name__}, expected weights by name")
    except Exception as error:  # whatever half a file makes of the reader
        leave_aside(path, error)
        return None
    return content


def leave_aside(path: Path, error: Exception) -> None:
    """Log why a file is not used."""
    log.warning("%s: no checkpoint of this training, left aside: %s", path, shown(error, 200))


class StopBetweenBatches(Callback):
    """Keeps SIGTERM back until the batch at hand is done, so that no checkpoint is half written.

    One of several processes ends at once instead: the others would wait for what it shares with
    them, and all that it writes is replaced whole.

    Parameters
    ----------
    alone
        This is the training's only process.
    done
        Tells how far the training is, in words.
    """

    def __init__(self, alone: bool, done: Callable[[], str]) -> None:
        self._alone, self._done, self._signum = alone, done, None
        self._in_main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        if self._in_main:
            self._own = signal.getsignal(signal.SIGTERM)
            signal.signal(signal.SIGTERM, self._remember if self._alone else signal.SIG_DFL)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._in_main:
            signal.signal(signal.SIGTERM, self._own)
        # Lightning looks for the signal too, and may be the first to end.
        if self._signum is not None and (kind is None or issubclass(kind, SystemExit)):
            self._raise()

    def on_train_start(self, *_: object) -> None:
        """Lightning has put its own handler in place by now."""
        if self._in_main and not self._alone:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def on_train_batch_start(self, *_: object) -> None:
        """Stop here if that was asked for during the last batch."""
        if self._signum is not None:
            self._raise()

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self._signum = signum

    def _raise(self) -> None:
        raise Stopped(self._signum, f"in training, {self._done()}")


def _history_row(epoch: float, train_loss: float, valid_loss: float) -> dict[str, float]:
    return {
        "epoch": int(epoch),
        "train_loss": float(train_loss),
        "valid_loss": float(valid_loss),
    }
