"""What a training did, epoch by epoch, and why it ended."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class StopReason(StrEnum):
    """Why training ended."""

    EPOCHS = "epochs"
    PATIENCE = "patience"
    NON_FINITE = "non_finite"
    REQUESTED = "requested"


class History(dict[str, list[float]]):
    """Loss and learning rate, one value an epoch, under ``train_loss``, ``val_loss`` and ``lr``.

    Attributes:
        stop_reason: why training ended.
        stop_detail: the same in words: epoch, batch and cells of a non-finite loss.
        best_epoch: epoch (from 0) whose weights the model has now; None when no epoch was finished.
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
        self.offending_cells: list[str] = []

    def add(self, **values: float) -> None:
        """One finished epoch."""
        for name, value in values.items():
            self.setdefault(name, []).append(value)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values, ready for JSON."""
        end = {"stop_reason": str(self.stop_reason), "stop_detail": self.stop_detail, "best_epoch": self.best_epoch}
        return {name: list(values) for name, values in self.items()} | end | {"offending_cells": self.offending_cells}


@dataclass
class EarlyStopping:
    """Remembers the best validation loss and how long ago it was.

    Args:
        patience: epochs without a better loss before it is time to stop; None never stops.
        min_delta: by how much the loss has to fall to count as better.

    Example:
        >>> stopping = EarlyStopping(patience=2)
        >>> [stopping.better(epoch, loss) for epoch, loss in enumerate([3.0, 2.0, 2.5, 2.2])], stopping.exhausted
        ([True, True, False, False], True)
    """

    patience: int | None
    min_delta: float = 0.0
    best_loss: float = math.inf
    best_epoch: int | None = None
    waited: int = 0

    def better(self, epoch: int, loss: float) -> bool:
        """Whether this epoch is the best so far; NaN never is."""
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch, self.waited = loss, epoch, 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to know."""
        return {"best_loss": self.best_loss, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where ``state_dict`` left off."""
        self.best_loss, self.best_epoch, self.waited = state["best_loss"], state["best_epoch"], state["waited"]
