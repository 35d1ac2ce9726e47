"""Scaling and imputing, fitted on training cells only and saved with the model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from battery_core.errors import DataError

Array = npt.NDArray[np.float64]
_CONSTANT = 1e-12  # a spread below this fraction of the mean is rounding: such a column is centred, not divided


@dataclass(frozen=True)
class Scaler:
    """Standardise to zero mean and unit spread of training rows; missing values become the training median.

    Args:
        names: feature names, in column order; may be empty.
        mean, std: shape (F,), of the training rows after imputing and clipping.
        median: shape (F,), what a missing value becomes.
        low, high: shape (F,), clip limits seen in training; infinite without clipping.

    Example:
        >>> scaler = Scaler.fit(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> scaler.transform(np.array([[2.0, np.nan], [4.0, 5.0]])).tolist()
        [[0.0, 0.0], [2.0, 0.0]]
    """

    names: tuple[str, ...]
    mean: Array
    std: Array
    median: Array
    low: Array
    high: Array

    @classmethod
    def fit(cls, x_train: Any, names: Sequence[str] = (), clip_quantile: float = 0.0) -> Scaler:
        """Fit to training rows, shape (N, F) or (N, T, F); never give it rows of validation or test cells.

        Args:
            x_train: an array, or a DataFrame whose column names are taken.
            names: feature names for an array.
            clip_quantile: values are clipped to this quantile and its mirror; 0 for no clipping.

        Raises:
            DataError: no rows, or a column without any finite value.
        """
        names = tuple(names) or tuple(getattr(x_train, "columns", ()))
        x = _flat(x_train)
        if len(x) == 0:
            raise DataError("scaler: no training rows to measure - is the training part of the split empty?")
        x = np.where(np.isfinite(x), x, np.nan)
        if (is_empty := np.isnan(x).all(axis=0)).any():
            column = int(np.flatnonzero(is_empty)[0])
            label = names[column] if names else f"number {column}"
            raise DataError(f"scaler: feature '{label}' has no value in any training row - leave it out")
        median = np.nanmedian(x, axis=0)
        low, high = np.full(x.shape[1], -np.inf), np.full(x.shape[1], np.inf)
        if clip_quantile > 0:
            low, high = np.nanquantile(x, [clip_quantile, 1.0 - clip_quantile], axis=0)
        # columns one after the other: how NumPy rounds a sum depends on how it lies in memory, and training on rounding
        x = np.asfortranarray(np.clip(np.where(np.isnan(x), median, x), low, high))
        mean, std = x.mean(axis=0), x.std(axis=0)
        std = np.where(std > _CONSTANT * np.maximum(np.abs(mean), 1e-300), std, 1.0)
        return cls(names, mean, std, median, low, high)

    def transform(self, x: Any) -> Array:
        """Scale rows of any cell, shape (..., F) in and out.

        Raises:
            DataError: the features are not those of training.
        """
        names = tuple(getattr(x, "columns", ()))
        if names and self.names and names != self.names:
            raise DataError(
                f"scaler: expected features {', '.join(self.names)}; got {', '.join(names)} - use the same sets"
            )
        values = np.array(x, dtype=np.float64)  # one copy, then in place: a million rows are hundreds of MB
        if values.shape[-1] != len(self.mean):
            raise DataError(f"scaler: expected {len(self.mean)} features, got {values.shape[-1]} - use the same sets")
        finite = np.isfinite(values)
        if not finite.all():
            values = np.where(finite, values, self.median)
        if np.isfinite(self.low).any() or np.isfinite(self.high).any():
            np.clip(values, self.low, self.high, out=values)
        values -= self.mean
        values /= self.std
        return values

    def to_json(self) -> str:
        """Return all of it as text; infinite limits as null, since JSON has no infinity."""
        lists = {k: [v if np.isfinite(v) else None for v in getattr(self, k).tolist()] for k in _ARRAYS}
        return json.dumps({"names": self.names, **lists})

    @classmethod
    def from_json(cls, text: str) -> Scaler:
        """Return the scaler that ``to_json`` wrote, bit for bit."""
        content = json.loads(text)
        missing = {"low": -np.inf, "high": np.inf}
        arrays = {k: np.array([missing.get(k) if v is None else v for v in content[k]], dtype=float) for k in _ARRAYS}
        return cls(tuple(content["names"]), **arrays)


_ARRAYS = ("mean", "std", "median", "low", "high")


def _flat(x: Any) -> Array:
    values = np.asarray(x, dtype=np.float64)
    return values.reshape(-1, values.shape[-1])  # (N, T, F) -> (N*T, F)
