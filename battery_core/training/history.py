"""Losses of a training by epoch, early stopping, and why the training ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Any


class StopReason(StrEnum):
    """Reason why training ended."""

    EPOCHS = "epochs"
    PATIENCE = "patience"
    NON_FINITE = "non_finite"
    REQUESTED = "requested"


class History(dict[str, list[float]]):
    """Holds loss and learning rate, one value an epoch, under ``train_loss``, ``val_loss`` and ``lr``.

    Attributes:
        stop_reason: why training ended.
        stop_detail: the same in words: epoch, batch and cells of a non-finite loss.
        best_epoch: epoch (from 0) whose weights the model has now; None when no epoch was finished. Of several members
            the latest; ``best_epochs`` has one each.
        offending_cells: cells whose rows made the loss non-finite.

    Example:
        >>> history = History()
        >>> history.add(train_loss=0.2, val_loss=0.3, lr=1e-3)
        >>> history["val_loss"], len(history.to_dict()["lr"])
        ([0.3], 1)
    """

    def __init__(self) -> None:
        super().__init__(train_loss=[], val_loss=[], lr=[])
        self.stop_reason = StopReason.EPOCHS
        self.stop_detail = ""
        self.best_epoch: int | None = None
        self.best_epochs: list[int | None] = []
        self.offending_cells: list[str] = []

    def add(self, **values: float) -> None:
        """Append the values of an epoch."""
        for name, value in values.items():
            self.setdefault(name, []).append(value)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types, ready for JSON."""
        end: dict[str, Any] = {
            "stop_reason": str(self.stop_reason),
            "stop_detail": self.stop_detail,
            "best_epoch": self.best_epoch,
        }
        end |= {"best_epochs": self.best_epochs, "offending_cells": self.offending_cells}
        return {name: list(values) for name, values in self.items()} | end


class EarlyStopping:
    """Tracks the best validation loss of each member and the epochs since; a single model is one member.

    Args:
        patience: epochs without a better loss before training stops; None never stops.
        min_delta: by how much the loss has to fall to count as better.
        n_members: models trained at once, each with a patience of its own.

    Example:
        >>> stopping = EarlyStopping(patience=2)
        >>> [stopping.update(epoch, [loss])[0] for epoch, loss in enumerate([3.0, 2.0, 2.5, 2.2])]
        [True, True, False, False]
        >>> stopping.is_exhausted
        True
    """

    def __init__(self, patience: int | None, min_delta: float = 0.0, n_members: int = 1) -> None:
        self.patience, self.min_delta = patience, min_delta
        self.best_losses = [math.inf] * n_members
        self.best_epochs: list[int | None] = [None] * n_members
        self.waited = [0] * n_members

    def update(self, epoch: int, losses: Sequence[float]) -> list[bool]:
        """Record the losses; return which members improved: never by NaN, nor once their patience has run out."""
        flags = []
        for i, loss in enumerate(losses):
            flags.append(loss < self.best_losses[i] - self.min_delta and not self._is_over(i))
            if flags[i]:
                self.best_losses[i], self.best_epochs[i], self.waited[i] = loss, epoch, 0
            elif not self._is_over(i):
                self.waited[i] += 1
        return flags

    @property
    def is_exhausted(self) -> bool:
        """Return whether the patience of every member has run out."""
        return all(self._is_over(i) for i in range(len(self.waited)))

    @property
    def best_epoch(self) -> int | None:
        """Return the best epoch; of several members the latest."""
        return max((epoch for epoch in self.best_epochs if epoch is not None), default=None)

    def _is_over(self, member: int) -> bool:
        return self.patience is not None and self.waited[member] >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """Return the values that a resumed run needs."""
        return {"best_losses": self.best_losses, "best_epochs": self.best_epochs, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the values that ``state_dict`` returned."""
        self.best_losses, self.best_epochs = list(state["best_losses"]), list(state["best_epochs"])
        self.waited = list(state["waited"])
