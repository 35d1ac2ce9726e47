"""Trains a torch SOH model: the epoch loop reads from top to bottom, its steps are in the files beside."""

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
from battery_core.training.loop.batches import ResidentData
from battery_core.training.loop.diagnosis import describe_non_finite
from battery_core.training.loop.forward import ForwardPass
from battery_core.training.loop.history import EarlyStopping, History, StopReason
from battery_core.training.loop.state import TrainState, check_same_training, hash_data
from battery_core.training.losses.basic import make_loss
from battery_core.training.optimizer import make_optimizer, make_scheduler
from battery_core.training.precision import Precision
from battery_core.training.settings import LossSettings, TrainerSettings
from battery_core.training.steps import NonFiniteLossError, StepRunner

logger = logging.getLogger(__name__)


class Trainer:
    """Fits a torch model to check-ups and leaves it with its best weights.

    Args:
        model: ``forward(x)`` gives (B, D); it may also name ``mask`` and ``t`` (a cell's history, see ``Samples``).
        config: settings by name, ready settings, or None for the defaults.
        tracker: where epochs are written down; None writes nothing.
        loss_config: ``{"name": ..., parameters}``, ready settings, a loss, or None for the mean squared error.
        callbacks: called at each hook in this order.
        run_dir: folder for ``checkpoints/best.pt`` and ``last.pt``; by default that of the tracker's run, if any.
        precision: number format; by default what the settings ask for.

    Raises:
        SettingsError: a wrong name or value in the configuration.
        TrainingError: the device is not there, or the model has nothing to train.

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
        """Train; afterwards the model has the weights of its best validation epoch and is in evaluation mode.

        A non-finite loss ends the training before it reaches the weights and is told by ``history.stop_reason``,
        ``stop_detail`` and ``offending_cells``.

        Args:
            train_samples: check-ups to learn from.
            val_samples: check-ups of other cells, for early stopping; None keeps the last weights.
            resume: a ``last.pt``, or a run folder that has one, to go on from.

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
        train, val = self._resident(forward, train_samples), self._resident(forward, val_samples, whole_cells=True)
        assert train is not None
        state = self._state()
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
            self._epochs(state, self._runner(forward, state), train, val, folder)
        except BaseException as err:  # callbacks hear of Ctrl-C too, and it goes on its way
            self.hooks.exception(err)
            raise
        self._finish(state)
        return self.history

    def stop(self, why: str = "asked to stop") -> None:
        """End after the epoch in progress; for callbacks."""
        self._stop_request = why

    @torch.no_grad()
    def predict(self, samples: Sequence[Sample] | Samples) -> npt.NDArray[np.float32]:
        """Estimates of check-ups, shape (N, D); the mean over members."""
        forward = ForwardPass(self.model.to(self.device), self.loss_fn, self.precision)
        data = ResidentData(samples, self.device)
        self.model.eval()
        parts = [forward.predict(batch) for batch in data.batches(self.settings.eval_batch_size)]
        estimates = torch.cat(parts, dim=-2).cpu().numpy()
        return estimates if forward.n_members == 1 else estimates.mean(axis=0)

    def _epochs(
        self, state: TrainState, steps: StepRunner, train: ResidentData, val: ResidentData | None, folder: Path | None
    ) -> None:
        for epoch in range(state.next_epoch, self.settings.epochs):
            if state.stopping.exhausted:
                return self._ended(
                    StopReason.PATIENCE, f"no better validation loss for {state.stopping.patience} epochs"
                )
            if self._stop_request is not None:
                return self._ended(StopReason.REQUESTED, self._stop_request)
            self.hooks.call("on_epoch_start", epoch)
            metrics = {"lr": float(state.optimizer.param_groups[0]["lr"])}
            order = train.order(state.generators)
            try:
                metrics["train_loss"] = steps.train_epoch(train, order, epoch)
            except NonFiniteLossError as err:
                return self._non_finite(err, epoch, train, order, steps.forward)
            member_losses = [] if val is None else steps.forward.evaluate(val, self.settings.eval_batch_size)
            metrics["val_loss"] = fmean(member_losses) if member_losses else math.nan
            state.scheduler.step()
            self._end_epoch(state, epoch, metrics, member_losses, folder)
            if val is not None and not math.isfinite(metrics["val_loss"]):
                return self._ended(StopReason.NON_FINITE, f"validation loss is not finite in epoch {epoch}")
        return None

    def _end_epoch(
        self,
        state: TrainState,
        epoch: int,
        metrics: dict[str, float],
        member_losses: list[float],
        folder: Path | None,
    ) -> None:
        """Remember, write down and save what the epoch brought."""
        state.history.add(**metrics)
        state.next_epoch = epoch + 1
        better = state.stopping.better(epoch, member_losses)
        if member_losses:
            state.keep_best(better)
        else:  # without validation the last weights are the best there are
            state.stopping.best_epochs = [epoch] * len(state.stopping.best_epochs)
        if self.tracker is not None:
            self.tracker.log_metrics(metrics, step=epoch)
        if folder is not None:
            self._write_checkpoints(state, epoch, metrics, folder, any(better) or not member_losses)
        self.hooks.call("on_epoch_end", epoch, metrics)

    def _write_checkpoints(
        self, state: TrainState, epoch: int, metrics: dict[str, float], folder: Path, better: bool
    ) -> None:
        about = {"settings": self.settings.model_dump(mode="json"), "data_hash": self._data_hash}
        if better:
            weights = self.model.state_dict() if state.best_weights is None else state.best_weights
            best = {"model_state_dict": weights, "epoch": epoch, "metrics": metrics}
            save_checkpoint(best | about, folder / BEST)
            self.hooks.call("on_checkpoint", folder / BEST)
        if (epoch + 1) % self.settings.checkpoint_every == 0 or epoch + 1 == self.settings.epochs:
            save_checkpoint(state.state_dict() | about, folder / LAST)
            self.hooks.call("on_checkpoint", folder / LAST)

    def _finish(self, state: TrainState) -> None:
        state.restore_best()
        self.model.eval()
        self.history.best_epoch, self.history.best_epochs = state.stopping.best_epoch, state.stopping.best_epochs
        if self.tracker is not None:
            self.tracker.set_tags({"stop_reason": self.history.stop_reason, "best_epoch": str(self.history.best_epoch)})
        self.hooks.call("on_train_end", self.history)

    def _ended(self, reason: StopReason, detail: str) -> None:
        self.history.stop_reason, self.history.stop_detail = reason, detail

    def _non_finite(
        self, err: NonFiniteLossError, epoch: int, train: ResidentData, order: torch.Tensor, forward: ForwardPass
    ) -> None:
        size = self.settings.batch_size
        rows = torch.unique(order[..., err.batch * size : (err.batch + 1) * size])  # of all members
        cells, detail = describe_non_finite(err.what, epoch, err.batch, train, rows, forward)
        self.history.offending_cells = cells
        logger.error("%s", detail)
        self._ended(StopReason.NON_FINITE, detail)

    def _resident(
        self, forward: ForwardPass, samples: Sequence[Sample] | Samples | None, whole_cells: bool = False
    ) -> ResidentData | None:
        if samples is None or (whole_cells and len(samples) == 0):
            return None
        length = len(samples) if whole_cells else getattr(self.loss_fn, "segment_length", 16)
        return ResidentData(samples, self.device, forward.along_cells, length, forward.with_time)

    def _state(self) -> TrainState:
        optimizer = make_optimizer(self.model, self.settings)
        n_members = int(getattr(self.model, "n_members", 1))
        seeds = [derive_seed(self.settings.seed + member, "batches") for member in range(n_members)]
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        patience, min_delta = self.settings.early_stopping_patience, self.settings.early_stopping_min_delta
        stopping = EarlyStopping(patience, min_delta, n_members)
        scheduler = make_scheduler(optimizer, self.settings)
        return TrainState(self.model, optimizer, scheduler, self.precision, stopping, generators, self.device)

    def _runner(self, forward: ForwardPass, state: TrainState) -> StepRunner:
        if not self.settings.compile:
            return StepRunner(forward, state.optimizer, self.settings, self.hooks)
        from battery_core.training.compiled_steps import (
            CompiledRunner,  # the compiler is imported only where it is used
        )

        return CompiledRunner(forward, state.optimizer, self.settings, self.hooks)

    def _checkpoint_folder(self) -> Path | None:
        """Where checkpoints go; a tracker without an open run gets one."""
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
