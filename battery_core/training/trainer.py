"""Training of a torch SOH model: the epoch loop."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from battery_core.data.samples.sample import Sample, Samples
from battery_core.errors import TrainingError
from battery_core.from_config import from_config
from battery_core.seeding import derive_seed, seed_everything
from battery_core.tracking.base import Tracker
from battery_core.training.callbacks import BaseCallback, Hooks, ProgressBar
from battery_core.training.checkpoint import BEST, LAST, load_checkpoint, load_weights, save_checkpoint
from battery_core.training.device import pick_device
from battery_core.training.fast.choose import make_backend
from battery_core.training.history import EarlyStopping, History, StopReason
from battery_core.training.loop.backend import NonFiniteLossError, StepBackend
from battery_core.training.loop.batches import ResidentData
from battery_core.training.loop.diagnosis import describe_non_finite
from battery_core.training.loop.forward import ForwardPass
from battery_core.training.loop.state import TrainState, check_same_training, hash_data
from battery_core.training.losses.basic import make_loss
from battery_core.training.losses.settings import LossSettings
from battery_core.training.optimizer import make_optimizer, make_scheduler
from battery_core.training.precision import Precision
from battery_core.training.settings import TrainerSettings

logger = logging.getLogger(__name__)


class Trainer:
    """Trains a torch model on check-ups and restores its best weights.

    Args:
        model: ``forward(x)`` gives (B, D); it may also take ``mask`` and ``t`` (sequences, see ``Samples``).
        config: settings by name, ready settings, or None for the defaults.
        tracker: logs the metrics of each epoch; None logs nothing.
        loss_config: ``{"name": ..., parameters}``, ready settings, a loss, or None for the mean squared error.
        callbacks: called at each hook in this order.
        run_dir: folder for ``checkpoints/best.pt`` and ``last.pt``; by default that of the tracker's run, if any.
        precision: number format; by default that of the settings.

    Raises:
        SettingsError: a wrong name or value in the configuration.
        TrainingError: the device is not available, or the model has nothing to train.

    Example:
        >>> from battery_core.data.samples.sample import SampleMeta
        >>> rows = [Sample(SampleMeta("A1", i), np.full(2, i), np.array([1 - 0.01 * i])) for i in range(8)]
        >>> history = Trainer(nn.Linear(2, 1), {"epochs": 3, "device": "cpu"}).fit(rows[:6], rows[6:])
        >>> len(history["train_loss"]), history.stop_reason
        (3, <StopReason.EPOCHS: 'epochs'>)
    """

    def __init__(
        self,
        model: nn.Module,
        config: TrainerSettings | Mapping[str, Any] | None = None,
        tracker: Tracker | None = None,
        loss_config: LossSettings | Mapping[str, Any] | nn.Module | None = None,
        callbacks: Iterable[BaseCallback] | None = None,
        *,
        run_dir: Path | str | None = None,
        precision: Precision | None = None,
    ) -> None:
        self.model, self.tracker = model, tracker
        self.settings = from_config(TrainerSettings, config, "trainer")
        self.device = pick_device(self.settings.device)
        self.loss_fn = make_loss(loss_config).to(self.device)
        self.precision = precision or Precision.choose(self.settings.use_amp, self.settings.amp_dtype, self.device)
        self.callbacks = [*(callbacks or ()), *([ProgressBar()] if self.settings.progress else [])]
        self.run_dir = Path(run_dir) if run_dir is not None else None
        self.history = History()
        self._stop_request: str | None = None

    def fit(
        self,
        train_samples: Sequence[Sample] | Samples,
        val_samples: Sequence[Sample] | Samples | None = None,
        *,
        resume: Path | str | None = None,
    ) -> History:
        """Train the model; then restore the weights of its best validation epoch and set evaluation mode.

        A non-finite loss ends the training before it reaches the weights; see ``history.stop_reason``,
        ``stop_detail`` and ``offending_cells``.

        Args:
            train_samples: check-ups to train on.
            val_samples: check-ups of other cells, for early stopping; with None the last weights are final.
            resume: a ``last.pt``, or a run folder that has one, to resume from.

        Raises:
            DataError: there is no training sample.
            TrainingError: shapes do not fit, or the checkpoint is of another training.
        """
        seed_everything(self.settings.seed)
        self._stop_request = None
        if self.settings.pretrained is not None and resume is None:
            load_weights(self.model, self.settings.pretrained)
        self.model.to(self.device)
        forward = ForwardPass(self.model, self.loss_fn, self.precision)
        train, val = self._resident(forward, train_samples), self._resident(forward, val_samples, is_validation=True)
        assert train is not None
        state = self._make_state()
        forward.check(train)
        folder = self._checkpoint_folder()
        self._data_hash = hash_data(train) if folder or resume else ""
        if resume is not None:
            content = load_checkpoint(resume, self.device)
            check_same_training(content, self.settings, self._data_hash)
            state.load_state_dict(content)
        self.history = state.history
        self.hooks = Hooks(self.callbacks, self)
        try:
            self.hooks.call("on_train_start")
            self._epochs(state, make_backend(forward, state.optimizer, self.settings, self.hooks), train, val, folder)
        except BaseException as err:  # Ctrl-C too; it is raised again
            self.hooks.exception(err)
            raise
        self._finish(state)
        return self.history

    def stop(self, reason: str = "asked to stop") -> None:
        """Stop after the epoch in progress; for callbacks."""
        self._stop_request = reason

    @torch.no_grad()
    def predict(self, samples: Sequence[Sample] | Samples) -> npt.NDArray[np.float32]:
        """Return estimates of check-ups, shape (N, D); the mean over members."""
        forward = ForwardPass(self.model.to(self.device), self.loss_fn, self.precision)
        data = ResidentData(samples, self.device)
        self.model.eval()
        predictions = [forward.predict(batch) for batch in data.batches(self.settings.eval_batch_size)]
        estimates = torch.cat(predictions, dim=-2).cpu().numpy()
        return estimates if forward.n_members == 1 else estimates.mean(axis=0)

    def _epochs(
        self,
        state: TrainState,
        backend: StepBackend,
        train: ResidentData,
        val: ResidentData | None,
        folder: Path | None,
    ) -> None:
        for epoch in range(state.next_epoch, self.settings.epochs):
            if state.stopping.is_exhausted:
                return self._set_stop(
                    StopReason.PATIENCE, f"no better validation loss for {state.stopping.patience} epochs"
                )
            if self._stop_request is not None:
                return self._set_stop(StopReason.REQUESTED, self._stop_request)
            self.hooks.call("on_epoch_start", epoch)
            metrics = {"lr": float(state.optimizer.param_groups[0]["lr"])}
            order = train.order(state.generators)
            try:
                metrics["train_loss"] = backend.train_epoch(train, order, epoch)
            except NonFiniteLossError as err:
                return self._stop_non_finite(err, epoch, train, order, backend.forward)
            member_losses = [] if val is None else backend.forward.evaluate(val, self.settings.eval_batch_size)
            metrics["val_loss"] = fmean(member_losses) if member_losses else math.nan
            state.scheduler.step()
            self._end_epoch(state, epoch, metrics, member_losses, folder)
            if val is not None and not math.isfinite(metrics["val_loss"]):
                return self._set_stop(StopReason.NON_FINITE, f"validation loss is not finite in epoch {epoch}")
        return None

    def _end_epoch(
        self,
        state: TrainState,
        epoch: int,
        metrics: dict[str, float],
        member_losses: list[float],
        folder: Path | None,
    ) -> None:
        """Record the metrics, track the best weights and write checkpoints."""
        state.history.add(**metrics)
        state.next_epoch = epoch + 1
        improved = state.stopping.update(epoch, member_losses)
        if member_losses:
            state.update_best(improved)
        else:  # without validation the last weights count as the best
            state.stopping.best_epochs = [epoch] * len(state.stopping.best_epochs)
        if self.tracker is not None:
            self.tracker.log_metrics(metrics, step=epoch)
        if folder is not None:
            self._write_checkpoints(state, epoch, metrics, folder, any(improved) or not member_losses)
        self.hooks.call("on_epoch_end", epoch, metrics)

    def _write_checkpoints(
        self, state: TrainState, epoch: int, metrics: dict[str, float], folder: Path, is_best: bool
    ) -> None:
        metadata = {"settings": self.settings.model_dump(mode="json"), "data_hash": self._data_hash}
        if is_best:
            weights = self.model.state_dict() if state.best_weights is None else state.best_weights
            best = {"model_state_dict": weights, "epoch": epoch, "metrics": metrics}
            save_checkpoint(best | metadata, folder / BEST)
            self.hooks.call("on_checkpoint", folder / BEST)
        if (epoch + 1) % self.settings.checkpoint_every == 0 or epoch + 1 == self.settings.epochs:
            save_checkpoint(state.state_dict() | metadata, folder / LAST)
            self.hooks.call("on_checkpoint", folder / LAST)

    def _finish(self, state: TrainState) -> None:
        state.restore_best()
        self.model.eval()
        self.history.best_epoch, self.history.best_epochs = state.stopping.best_epoch, state.stopping.best_epochs
        if self.tracker is not None:
            self.tracker.set_tags({"stop_reason": self.history.stop_reason, "best_epoch": str(self.history.best_epoch)})
        self.hooks.call("on_train_end", self.history)

    def _set_stop(self, reason: StopReason, detail: str) -> None:
        self.history.stop_reason, self.history.stop_detail = reason, detail

    def _stop_non_finite(
        self, err: NonFiniteLossError, epoch: int, train: ResidentData, order: torch.Tensor, forward: ForwardPass
    ) -> None:
        size = self.settings.batch_size
        rows = torch.unique(order[..., err.batch * size : (err.batch + 1) * size])  # of all members
        cells, detail = describe_non_finite(err.quantity, epoch, err.batch, train, rows, forward)
        self.history.offending_cells = cells
        logger.error("%s", detail)
        self._set_stop(StopReason.NON_FINITE, detail)

    def _resident(
        self, forward: ForwardPass, samples: Sequence[Sample] | Samples | None, is_validation: bool = False
    ) -> ResidentData | None:
        if samples is None or (is_validation and len(samples) == 0):
            return None
        length = len(samples) if is_validation else getattr(self.loss_fn, "segment_length", 16)
        return ResidentData(samples, self.device, forward.along_cells, length, forward.with_time)

    def _make_state(self) -> TrainState:
        optimizer = make_optimizer(self.model, self.settings)
        n_members = int(getattr(self.model, "n_members", 1))
        seeds = [derive_seed(self.settings.seed + member, "batches") for member in range(n_members)]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        patience, min_delta = self.settings.early_stopping_patience, self.settings.early_stopping_min_delta
        stopping = EarlyStopping(patience, min_delta, n_members)
        scheduler = make_scheduler(optimizer, self.settings)
        return TrainState(self.model, optimizer, scheduler, self.precision, stopping, generators, self.device)

    def _checkpoint_folder(self) -> Path | None:
        """Return the folder of checkpoints; start a run of the tracker if none is open."""
        if self.run_dir is not None:
            return self.run_dir / "checkpoints"
        if self.tracker is None:
            return None
        if self.tracker.run_dir is None:
            self.tracker.start_run(type(self.model).__name__, self.settings)
        if self.tracker.run_dir is None:
            raise TrainingError(
                f"tracker {type(self.tracker).__name__} has no run folder after start_run: expected one"
            )
        return self.tracker.run_dir / "checkpoints"
