"""Check-ups as tensors on the device, and batches that are slices of a permuted epoch."""

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
    """Check-ups: inputs of the model (x, mask, t) and of the loss (y, time, target_mask, segment).

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
    """Holds samples as contiguous tensors on the device; an epoch is gathered once and its batches are views.

    A check-up with some targets measured and some not (NaN) has the missing ones masked. One without any label is
    not masked, so that its NaN loss stops the training.

    Args:
        samples: check-ups, or sequences of them.
        device: where the tensors are.
        along_cells: whether batches hold consecutive check-ups of one cell in time order.
        segment_length: how many consecutive check-ups stay together.
        with_time: whether the loss takes the time of each check-up.

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
        stacked = Samples.stack(samples)
        if len(stacked) == 0:
            raise DataError("training data: expected at least one sample, got none - is the split empty?")
        self.device, self.meta = device, stacked.meta
        missing = np.isnan(stacked.y)
        missing[missing.all(axis=1)] = False
        self._segment_starts: npt.NDArray[np.int64] | None = None
        time = checkup_times(stacked) if along_cells or with_time else None
        segment, order = None, None
        if time is not None and along_cells:
            order, segment, self._segment_starts = _segments(stacked, time, segment_length)
            self.meta, time = [stacked.meta[i] for i in order], time[order]
        rows = slice(None) if order is None else order
        self.valid_per_row: npt.NDArray[np.int64] | None = (~missing[rows]).sum(axis=1) if missing.any() else None
        arrays = (
            stacked.x, np.where(missing, 0.0, stacked.y).astype(np.float32), stacked.mask, stacked.t,
            ~missing if missing.any() else None,
        )  # fmt: skip
        tensors = [None if array is None else torch.from_numpy(array[rows]).to(device) for array in arrays]
        tensors += [None if array is None else torch.from_numpy(array).to(device) for array in (segment, time)]
        self.rows = Batch(*tensors)  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.meta)

    @property
    def n_targets(self) -> int:
        """Return the number of targets D of a check-up."""
        return int(self.rows.y.shape[-1])

    def order(self, generators: Sequence[torch.Generator]) -> Tensor:
        """Draw the order of rows of an epoch on the host: (N,), or (K, N) with a generator for each of K members."""
        orders = [self._order(generator) for generator in generators]
        return orders[0] if len(orders) == 1 else torch.stack(orders)

    def _order(self, generator: torch.Generator) -> Tensor:
        """Draw the order of rows for one member, shape (N,); the rows of a segment stay together."""
        if self._segment_starts is None:
            return torch.randperm(len(self), generator=generator)
        starts = self._segment_starts
        lengths = np.diff(starts, append=len(self))
        shuffled = torch.randperm(len(starts), generator=generator).numpy()
        starts, lengths = starts[shuffled], lengths[shuffled]
        ends = np.cumsum(lengths)
        return torch.from_numpy(np.repeat(starts - (ends - lengths), lengths) + np.arange(len(self)))

    def batches(self, batch_size: int, order: Tensor | None = None) -> Iterator[Batch]:
        """Return the batches of one epoch; with ``order`` None in the order of the samples."""
        return split_rows(self.rows if order is None else self.gather(order), batch_size)

    def gather(self, order: Tensor) -> Batch:
        """Return these rows as one contiguous batch."""
        index = order.to(self.device)
        flat = index.reshape(-1)
        gathered = (None if tensor is None else tensor.index_select(0, flat) for tensor in self.rows)
        if order.ndim == 1:
            return Batch._make(gathered)
        return Batch._make(
            None if tensor is None else tensor.view(*index.shape, *tensor.shape[1:]) for tensor in gathered
        )  # (K*N) -> (K, N)

    def valid_counts(self, batch_size: int, order: Tensor | None = None) -> list[int]:
        """Count the valid targets of each batch, on the host."""
        size, per_row = len(self), self.valid_per_row
        if per_row is None:
            return [min(batch_size, size - start) * self.n_targets for start in range(0, size, batch_size)]
        ordered = per_row if order is None else per_row[order.numpy()]
        return [int(n) for n in np.add.reduceat(ordered, np.arange(0, size, batch_size))]


def split_rows(epoch: Batch, batch_size: int) -> Iterator[Batch]:
    """Return batches as views of gathered rows; rows come after members: y is (N, D) or (K, N, D)."""
    dim = epoch.y.ndim - 2
    n_batches = -(-epoch.y.shape[dim] // batch_size)
    split = [[None] * n_batches if tensor is None else torch.split(tensor, batch_size, dim) for tensor in epoch]
    return map(Batch._make, zip(*split, strict=True))


def _segments(
    samples: Samples, time: npt.NDArray[np.float32], length: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Order rows by cell and time; return the order, the segment of each row, and where segments start."""
    _, cell = np.unique(np.asarray(samples.cell_ids), return_inverse=True)
    index = np.array([m.checkup_index for m in samples.meta])
    order = np.lexsort((index, time, cell))
    cell = cell[order]
    place = np.arange(len(cell)) - np.searchsorted(cell, cell)  # position of each row within its cell
    starts = np.flatnonzero(place % length == 0)
    segment = np.searchsorted(starts, np.arange(len(cell)), side="right") - 1
    return order, segment, starts


def checkup_times(samples: Samples) -> npt.NDArray[np.float32]:
    """Return the time of the check-up to predict, shape (N,): days of its last real row, else its index."""
    if samples.t is None:
        return np.array([m.checkup_index for m in samples.meta], dtype=np.float32)
    if samples.t.ndim == 1:
        return samples.t
    if samples.mask is None:
        return np.asarray(samples.t[:, -1])
    last = samples.t.shape[1] - 1 - np.argmax(samples.mask[:, ::-1], axis=1)
    return np.asarray(samples.t[np.arange(len(samples)), last])
