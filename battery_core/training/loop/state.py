"""State of a training in progress: a killed run resumes to the same final weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from battery_core.errors import TrainingError
from battery_core.training.checkpoint import apply_weights, clone_state, random_state, restore_random_state
from battery_core.training.history import EarlyStopping, History
from battery_core.training.loop.batches import ResidentData
from battery_core.training.precision import Precision
from battery_core.training.settings import TrainerSettings

#: Settings that may differ between a run and its continuation.
_FREE = {
    "epochs", "early_stopping_patience", "device", "checkpoint_every", "eval_batch_size",
    "progress", "pretrained",
}  # fmt: skip


@dataclass
class TrainState:
    """State of a training in progress.

    Attributes:
        next_epoch: epoch to train next.
        best_weights: weights of the best epoch so far.
        generators: one a member, used for the order of batches only.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    precision: Precision
    stopping: EarlyStopping
    generators: list[torch.Generator]
    device: torch.device
    history: History = field(default_factory=History)
    next_epoch: int = 0
    best_weights: dict[str, Tensor] | None = None

    def update_best(self, improved: list[bool]) -> None:
        """Copy the current weights, of those members whose validation loss improved."""
        if self.best_weights is None or all(improved):
            self.best_weights = clone_state(self.model)
        elif any(improved):
            for name, weight in self.model.state_dict().items():  # members come first: (K, ...)
                flags = torch.tensor(improved, device=weight.device).view(-1, *[1] * (weight.ndim - 1))
                self.best_weights[name] = torch.where(flags, weight, self.best_weights[name])

    def restore_best(self) -> None:
        """Load the weights of the best epoch into the model."""
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the whole state as tensors and plain values."""
        return {
            "model_state_dict": self.model.state_dict(),
            "best_state_dict": self.best_weights or {},
            "optimizer_state_dict": self.optimizer.state_dict(),
            "scheduler_state_dict": self.scheduler.state_dict(),
            "scaler_state_dict": self.precision.state_dict(),
            "early_stopping": self.stopping.state_dict(),
            "batch_order": [generator.get_state() for generator in self.generators],
            "random": random_state(self.device),
            "history": {name: list(values) for name, values in self.history.items()},
            "next_epoch": self.next_epoch,
        }

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Restore the state that ``state_dict`` returned."""
        apply_weights(self.model, content["model_state_dict"])
        self.best_weights = content["best_state_dict"] or None
        self.optimizer.load_state_dict(content["optimizer_state_dict"])
        self.scheduler.load_state_dict(content["scheduler_state_dict"])
        self.precision.load_state_dict(content["scaler_state_dict"])
        self.stopping.load_state_dict(content["early_stopping"])
        for generator, drawn in zip(self.generators, content["batch_order"], strict=True):
            generator.set_state(drawn.cpu())
        self.history.update({name: list(values) for name, values in content["history"].items()})
        self.next_epoch = content["next_epoch"]
        restore_random_state(content["random"], self.device)


def check_same_training(content: dict[str, Any], settings: TrainerSettings, data_hash: str) -> None:
    """Refuse to resume with other data or settings than the checkpoint was written with.

    Raises:
        TrainingError: a setting or the data differ; both values are named.
    """
    if "optimizer_state_dict" not in content:
        raise TrainingError("checkpoint holds weights only (best.pt?): resume from 'last.pt'")
    now = settings.model_dump(mode="json")
    then = content["settings"]
    differ = [
        f"{name} was {then.get(name)!r}, is {now[name]!r}"
        for name in now
        if name not in _FREE and now[name] != then.get(name)
    ]
    if differ:
        raise TrainingError(
            f"resume: settings differ from the checkpoint's: {'; '.join(differ)} - restore them or start anew"
        )
    if content["data_hash"] != data_hash:
        raise TrainingError("resume: the training data are not those of the checkpoint - restore them or start anew")


def hash_data(data: ResidentData) -> str:
    """Return a hash of the training tensors, 16 hex digits."""
    digest = hashlib.sha256()
    for tensor in data.rows:
        if tensor is not None:
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
