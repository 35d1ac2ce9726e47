"""Callbacks of a training; hooks that are not overridden are not called."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import nn

    from battery_core.training.history import History
    from battery_core.training.settings import TrainerSettings

logger = logging.getLogger(__name__)


class Training(Protocol):
    """The interface of the Trainer that a callback uses."""

    model: nn.Module
    settings: TrainerSettings
    history: History

    def stop(self, reason: str = ...) -> None:
        """Stop after this epoch."""
        ...


class BaseCallback:
    """Base class with an empty method for each hook; ``self.trainer.stop(reason)`` stops after this epoch.

    Example:
        >>> class Memory(BaseCallback):
        ...     def __init__(self):
        ...         self.losses = []
        ...     def on_epoch_end(self, epoch, metrics):
        ...         self.losses.append(metrics["val_loss"])
    """

    trainer: Training

    def on_train_start(self) -> None:
        """Run before the first epoch; model and optimizer are ready."""

    def on_train_end(self, history: History) -> None:
        """Run after the last epoch; the best weights are restored."""

    def on_epoch_start(self, epoch: int) -> None:
        """Run before the first batch of an epoch; epochs count from 0."""

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
        """Run after validation; ``metrics`` holds train_loss, val_loss and lr."""

    def on_batch_start(self, epoch: int, batch: int) -> None:
        """Run before the forward pass of a batch."""

    def on_batch_end(self, epoch: int, batch: int, loss: Any) -> None:
        """Run after a batch; ``loss`` is a tensor on the device: reading it as a number makes the host wait."""

    def on_checkpoint(self, path: Path) -> None:
        """Run after a checkpoint is written."""

    def on_exception(self, error: BaseException) -> None:
        """Run when an exception ends training, KeyboardInterrupt too."""


class Hooks:
    """Calls the callbacks of a run; a hook that no callback overrides is an empty list."""

    def __init__(self, callbacks: Iterable[BaseCallback], trainer: Training) -> None:
        self._callbacks = list(callbacks)
        for callback in self._callbacks:
            callback.trainer = trainer
        self.batch_start = self._overridden("on_batch_start")
        self.batch_end = self._overridden("on_batch_end")

    def call(self, name: str, *args: Any) -> None:
        """Call one hook of every callback, in order."""
        for hook in self._overridden(name):
            hook(*args)

    def exception(self, error: BaseException) -> None:
        """Call ``on_exception`` of every callback; an error in a callback does not hide the first one."""
        for hook in self._overridden("on_exception"):
            try:
                hook(error)
            except Exception as second:  # noqa: BLE001 - the first error is the one to report
                logger.warning("callback %s failed in on_exception: %s", hook, second)

    def _overridden(self, name: str) -> list[Callable[..., None]]:
        """Return the bound hooks that are not the empty ones; any object with a method of that name counts."""
        hooks = ((getattr(callback, name, None), callback) for callback in self._callbacks)
        return [
            hook
            for hook, owner in hooks
            if hook and getattr(type(owner), name, None) is not getattr(BaseCallback, name)
        ]


class ProgressBar(BaseCallback):
    """Shows one line on the terminal; silent when the output goes to a file."""

    def on_train_start(self) -> None:
        """Open the bar."""
        from tqdm import tqdm

        done = len(self.trainer.history["train_loss"])
        self._bar = tqdm(total=self.trainer.settings.epochs, initial=done, disable=None, unit="epoch", leave=True)

    def on_epoch_end(self, epoch: int, metrics: dict[str, float]) -> None:
        """Advance the bar."""
        self._bar.set_postfix(train=f"{metrics['train_loss']:.3g}", val=f"{metrics['val_loss']:.3g}", refresh=False)
        self._bar.update()

    def on_train_end(self, history: History) -> None:
        """Close the bar."""
        self._bar.close()

    def on_exception(self, error: BaseException) -> None:
        """Close the bar."""
        if hasattr(self, "_bar"):
            self._bar.close()
