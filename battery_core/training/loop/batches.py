"""Check-ups as tensors that live on the device, and batches that are slices of a permuted epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from battery_core.data.samples.sample import Sample, Samples
from battery_core.errors import DataError


class Batch(NamedTuple):
    """Some check-ups: what the model reads (x, mask, t) and what the loss reads (y, time, target_mask, segment).

    Shapes: x (B, F) or (B, T, F); mask and t (B, T); y and target_mask (B, D); time and segment (B,).
    """

    x: Tensor
    y: Tensor
    mask: Tensor | None
    t: Tensor | None
    target_mask: Tensor | None
    segment: Tensor | None
    time: Tensor | None


class ResidentData:
    """Samples as contiguous tensors on the device; an epoch is gathered once and its batches are views.

    A check-up with some targets measured and some not (NaN) has the missing ones masked; one without any label is
    kept as it is, so that it stops the training instead of vanishing.

    Args:
        samples: what to train on.
        device: where the tensors live.
        along_cells: whether batches hold consecutive check-ups of one cell in time order.
        segment_length: how many consecutive check-ups stay together.
        with_time: whether the loss asks for the time of each check-up.

    Raises:
        DataError: no samples.
    """

    def __init__(
        self,
        samples: Sequence[Sample] | Samples,
        device: torch.device,
        along_cells: bool = False,
        segment_length: int = 16,
        with_time: bool = False,
    ) -> None:
        whole = Samples.stack(samples)
        if len(whole) == 0:
            raise DataError("training data: expected at least one sample, got none - is the split empty?")
        self.device, self.meta = device, whole.meta
        missing = np.isnan(whole.y)
        missing[missing.all(axis=1)] = False
        self._segment_starts: npt.NDArray[np.int64] | None = None
        time = checkup_times(whole) if along_cells or with_time else None
        segment, order = None, None
        if time is not None and along_cells:
            order, segment, self._segment_starts = _segments(whole, time, segment_length)
            self.meta, time = [whole.meta[i] for i in order], time[order]
        rows = slice(None) if order is None else order
        self.valid_per_row: npt.NDArray[np.int64] | None = (~missing[rows]).sum(axis=1) if missing.any() else None
        parts = (
            whole.x, np.where(missing, 0.0, whole.y).astype(np.float32), whole.mask, whole.t,
            ~missing if missing.any() else None,
        )  # fmt: skip
        tensors = [None if part is None else torch.from_numpy(part[rows]).to(device) for part in parts]
        tensors += [None if part is None else torch.from_numpy(part).to(device) for part in (segment, time)]
        self.whole = Batch(*tensors)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.meta)

    @property
    def n_targets(self) -> int:
        """Targets D of a check-up."""
        return int(self.whole.y.shape[-1])

    def order(self, generators: Sequence[torch.Generator]) -> Tensor:
        """A new epoch's order of rows on the host: (N,), or (K, N) with a generator for each of K members."""
        orders = [self._order(generator) for generator in generators]
        return orders[0] if len(orders) == 1 else torch.stack(orders)

    def _order(self, generator: torch.Generator) -> Tensor:
        """Order of rows for one member, shape (N,); segments move as one."""
        if self._segment_starts is None:
            return torch.randperm(len(self), generator=generator)
        starts = self._segment_starts
        lengths = np.diff(starts, append=len(self))
        shuffled = torch.randperm(len(starts), generator=generator).numpy()
        starts, lengths = starts[shuffled], lengths[shuffled]
        ends = np.cumsum(lengths)
        return torch.from_numpy(np.repeat(starts - (ends - lengths), lengths) + np.arange(len(self)))

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        """Batches of one epoch; ``order`` None keeps the rows as they are."""
        return split_rows(self.whole if order is None else self.gather(order), batch_size)

    def gather(self, order: Tensor) -> Batch:
        """These rows as one contiguous batch."""
        index = order.to(self.device)
        flat = index.reshape(-1)
        parts = (None if part is None else part.index_select(0, flat) for part in self.whole)
        if order.ndim == 1:
            return Batch._make(parts)
        return Batch._make(
            None if part is None else part.view(*index.shape, *part.shape[1:]) for part in parts
        )  # (K*N) -> (K, N)

    def valid_counts(self, batch_size: int, order: Tensor | None = None) -> list[int]:
        """Valid targets of each batch, counted on the host."""
        size, per_row = len(self), self.valid_per_row
        if per_row is None:
            return [min(batch_size, size - start) * self.n_targets for start in range(0, size, batch_size)]
        ordered = per_row if order is None else per_row[order.numpy()]
        return [int(n) for n in np.add.reduceat(ordered, np.arange(0, size, batch_size))]


def split_rows(epoch: Batch, batch_size: int) -> Iterator[Batch]:
    """Batches as views of gathered rows; rows come after members: y is (N, D) or (K, N, D)."""
    dim = epoch.y.ndim - 2
    n_batches = -(-epoch.y.shape[dim] // batch_size)
    split = [[None] * n_batches if part is None else torch.split(part, batch_size, dim) for part in epoch]
    return map(Batch._make, zip(*split, strict=True))


def _segments(
    samples: Samples, time: npt.NDArray[np.float32], length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows by cell and time: their order, the segment of each, and where segments start."""
    _, cell = np.unique(np.asarray(samples.cell_ids), return_inverse=True)
    index = np.array([m.checkup_index for m in samples.meta])
    order = np.lexsort((index, time, cell))
    cell = cell[order]
    place = np.arange(len(cell)) - np.searchsorted(cell, cell)  # position of each row within its cell
    starts = np.flatnonzero(place % length == 0)
    segment = np.searchsorted(starts, np.arange(len(cell)), side="right") - 1
    return order, segment, starts


def checkup_times(samples: Samples) -> npt.NDArray[np.float32]:
    """Time of the check-up to predict, shape (N,): days of the last real row of its history, else its index."""
    if samples.t is None:
        return np.array([m.checkup_index for m in samples.meta], dtype=np.float32)
    if samples.t.ndim == 1:
        return samples.t
    if samples.mask is None:
        return np.asarray(samples.t[:, -1])
    last = samples.t.shape[1] - 1 - np.argmax(samples.mask[:, ::-1], axis=1)
    return np.asarray(samples.t[np.arange(len(samples)), last])
