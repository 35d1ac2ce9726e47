"""Training samples: one check-up of one cell, and many check-ups as contiguous arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from battery_core.errors import DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class SampleMeta:
    """Store the origin of a sample for the split and the error per cell; it is no model input."""

    cell_id: str
    checkup_index: int = 0
    temperature_degC: float = float("nan")
    group: str = ""


@dataclass(frozen=True)
class Sample:
    """Store one check-up: measured features and the SOH to predict.

    Args:
        meta: the cell and check-up.
        x: features, shape (F,) or, with the cell's history, (T, F); numpy or torch.
        y: targets, shape (D,); SOH is a fraction, 1.0 is fresh.
        mask: True where a row of ``x`` is real, shape (T,); None when all are.
        t: time of each row of ``x`` in days, shape (T,); None when time plays no part.

    Example:
        >>> Sample(SampleMeta("A1"), x=np.zeros(3), y=np.array([0.95])).feature_dim
        3
    """

    meta: SampleMeta
    x: Any
    y: Any
    mask: Any = None
    t: Any = None

    @property
    def feature_dim(self) -> int:
        """Return the number of features F."""
        return int(self.x.shape[-1])


class Samples(Sequence[Sample]):
    """Store many samples as contiguous float32 arrays; an integer gives one ``Sample``, a slice a ``Samples``.

    Args:
        x: shape (N, F) or (N, T, F).
        y: shape (N, D).
        meta: N entries.
        mask: shape (N, T) or None.
        t: shape (N, T), days, or None.

    Raises:
        DataError: the lengths differ.
    """

    def __init__(
        self, x: Array, y: Array, meta: Sequence[SampleMeta], mask: Array | None = None, t: Array | None = None
    ) -> None:
        arrays = {"x": x, "y": y, "meta": meta, "mask": mask, "t": t}
        lengths = {name: len(array) for name, array in arrays.items() if array is not None}
        if len(set(lengths.values())) > 1:
            raise DataError(f"samples: all parts must have the same length; got {lengths} - build them row by row")
        self.x = np.ascontiguousarray(x, dtype=np.float32)
        self.y = np.ascontiguousarray(np.asarray(y).reshape(len(y), -1) if len(y) else y, dtype=np.float32)
        self.meta = list(meta)
        self.mask = None if mask is None else np.ascontiguousarray(mask, dtype=bool)
        self.t = None if t is None else np.ascontiguousarray(t, dtype=np.float32)

    @classmethod
    def stack(cls, samples: Sequence[Sample]) -> Samples:
        """Concatenate samples; histories of different length T are padded at the end and masked.

        Raises:
            DataError: there is no sample, or their feature dimensions differ.
        """
        if isinstance(samples, Samples):
            return samples
        if len(samples) == 0:
            raise DataError("samples: expected at least one, got none - is the split empty?")
        widths = sorted({s.feature_dim for s in samples})
        if len(widths) > 1:
            raise DataError(f"samples: expected one feature dimension, got {widths} - build all with the same features")
        y = np.stack([np.asarray(s.y, dtype=np.float32).reshape(-1) for s in samples])
        meta = [s.meta for s in samples]
        if samples[0].x.ndim == 1:
            return cls(np.stack([np.asarray(s.x) for s in samples]), y, meta)
        return cls._pad(samples, y, meta)

    @classmethod
    def _pad(cls, samples: Sequence[Sample], y: Array, meta: list[SampleMeta]) -> Samples:
        longest = max(s.x.shape[0] for s in samples)
        x = np.zeros((len(samples), longest, samples[0].feature_dim), dtype=np.float32)
        mask = np.zeros((len(samples), longest), dtype=bool)
        t = np.zeros((len(samples), longest), dtype=np.float32)
        for i, s in enumerate(samples):
            steps = s.x.shape[0]
            x[i, :steps] = np.asarray(s.x)
            mask[i, :steps] = True if s.mask is None else np.asarray(s.mask)
            times = np.arange(steps) if s.t is None else np.asarray(s.t)
            t[i, :steps], t[i, steps:] = (
                times,
                times[-1] if steps else 0.0,
            )  # padding repeats the last time: no step back
        return cls(x, y, meta, mask, t)

    @property
    def feature_dim(self) -> int:
        """Return the number of features F."""
        return int(self.x.shape[-1])

    @property
    def cell_ids(self) -> list[str]:
        """Return the cell of each sample, in order."""
        return [m.cell_id for m in self.meta]

    def take(self, index: Array) -> Samples:
        """Return a copy of the samples at these positions (integers or a boolean mask)."""
        chosen = np.flatnonzero(index) if np.asarray(index).dtype == bool else np.asarray(index)
        mask, t = (None if array is None else array[chosen] for array in (self.mask, self.t))
        return Samples(self.x[chosen], self.y[chosen], [self.meta[i] for i in chosen], mask, t)

    def __len__(self) -> int:
        return len(self.x)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Samples: ...
    def __getitem__(self, index: int | slice) -> Sample | Samples:
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        mask = None if self.mask is None else self.mask[index]
        t = None if self.t is None else self.t[index]
        return Sample(self.meta[index], self.x[index], self.y[index], mask, t)

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))
