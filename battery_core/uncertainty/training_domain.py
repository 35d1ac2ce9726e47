"""Training domain: whether measurements and conditions of a check-up are within those of the training cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

_SET_POINTS = {"ambient_temperature_degC": 5.0}  # a chamber holds its temperature to some degrees
_STANDS_STILL = 0.05  # a column without any spread in training may still differ by this share of its value
_NOT_MEASURED = ("cell_id", "checkup_index")


@dataclass(frozen=True)
class TrainingDomain:
    """Store the range of each measured column over the training check-ups, and the operating conditions.

    The range lies between a low and a high quantile of the training rows, plus a margin on either side. Quantiles keep
    a few bad readings from widening it. A chamber temperature is inside within 5 degC of a training set-point; values
    between two set-points are outside. A missing value is outside where training has no gaps.

    Args:
        limits: low and high of each measured column.
        set_points: the values that training cells had of each condition that is set, not measured.
        may_miss: measured columns that have gaps in training.
        names: values in training of each text column, such as ``group``.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"group": ["NCM"] * 3, "cc_time_s": [1000.0, 1100.0, 1200.0]})
        >>> domain = TrainingDomain.of(rows, ["group", "cc_time_s"], quantile=0.0, margin=0.1)
        >>> domain.limits
        {'cc_time_s': (980.0, 1220.0)}
        >>> new = pd.DataFrame({"group": ["NCM", "NCM", "LFP"], "cc_time_s": [1000.0, 1600.0, 1000.0]})
        >>> domain.ood_column(new).tolist()
        ['', 'cc_time_s', 'group']
    """

    limits: Mapping[str, tuple[float, float]]
    may_miss: frozenset[str]
    names: Mapping[str, tuple[str, ...]]
    set_points: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: pd.DataFrame, columns: Iterable[str], quantile: float = 0.001, margin: float = 0.1) -> Self:
        """Return the domain of raw rows of training cells; never give it rows of validation or test cells.

        Args:
            rows: raw rows.
            columns: those that the model reads.
            quantile: share of training rows beyond each end of the range.
            margin: how much further the range goes, as a share of its width.
        """
        limits, may_miss, names, set_points = {}, set(), {}, {}
        for name in columns:
            if name in _NOT_MEASURED:
                continue
            if not _is_number(rows[name]):
                names[name] = tuple(sorted(set(rows[name].dropna().astype(str))))
                continue
            values = rows[name].to_numpy(dtype=np.float64)
            finite = values[np.isfinite(values)]
            if len(finite) < len(values):
                may_miss.add(name)
            if len(finite) and name in _SET_POINTS:
                set_points[name] = tuple(np.unique(finite).tolist())
                limits[name] = (float(finite.min()) - _SET_POINTS[name], float(finite.max()) + _SET_POINTS[name])
            elif len(finite):
                limits[name] = _limits(finite, quantile, max(margin, 0.0))
        return cls(limits, frozenset(may_miss), names, set_points)

    def ood_column(self, rows: pd.DataFrame) -> npt.NDArray[np.object_]:
        """Return for each row the column furthest out of its range, in widths of the range; empty where none is."""
        names: list[str] = [""]
        which = np.zeros(len(rows), dtype=np.int16)
        furthest = np.zeros(len(rows))
        for name, how_far in self._distances(rows):
            rows_out = np.flatnonzero(how_far > furthest)
            if len(rows_out):
                names.append(name)
                which[rows_out], furthest[rows_out] = len(names) - 1, how_far[rows_out]
        return np.array(names, dtype=object)[which]

    def _distances(self, rows: pd.DataFrame) -> Any:
        """Yield each column with the distance of its values from the range, 0 inside; inf for an unknown name."""
        for name, names in self.names.items():
            codes, categories = rows[name].factorize()  # -1 is missing: unknown, unless training had gaps only
            unknown = np.array([str(value) not in names for value in categories] + [bool(names)])
            yield name, np.where(unknown[codes], np.inf, 0.0)
        for name, (low, high) in self.limits.items():
            if name in self.set_points:
                continue
            values = rows[name].to_numpy(dtype=np.float64)
            beyond = np.maximum(low - values, values - high)  # NaN where missing
            yield name, self._in_widths(name, beyond, max(high - low, 1e-12))
        for name, points in self.set_points.items():
            values = rows[name].to_numpy(dtype=np.float64)
            yield name, self._in_widths(name, _to_nearest(values, points) - _SET_POINTS[name], _SET_POINTS[name])

    def _in_widths(self, name: str, beyond: npt.NDArray[np.float64], width: float) -> npt.NDArray[np.float64]:
        missing = 0.0 if name in self.may_miss else np.inf
        return np.where(np.isnan(beyond), missing, np.maximum(beyond, 0.0) / width)

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return {
            "limits": {name: list(pair) for name, pair in self.limits.items()},
            "may_miss": sorted(self.may_miss),
            "known": {name: list(names) for name, names in self.names.items()},
            "set_points": {name: list(points) for name, points in self.set_points.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Return what ``to_json`` wrote."""
        limits = {name: (low, high) for name, (low, high) in content["limits"].items()}
        names = {name: tuple(values) for name, values in content["known"].items()}
        set_points = {name: tuple(points) for name, points in content.get("set_points", {}).items()}  # older: none
        return cls(limits, frozenset(content["may_miss"]), names, set_points)


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _to_nearest(values: npt.NDArray[np.float64], points: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Return the distance of each value to the nearest of the rising points; NaN where the value is missing."""
    known_points = np.asarray(points)
    after = np.searchsorted(known_points, values)
    below = known_points[np.maximum(after - 1, 0)]
    above = known_points[np.minimum(after, len(known_points) - 1)]
    nearest: npt.NDArray[np.float64] = np.minimum(np.abs(values - below), np.abs(values - above))
    return nearest


def _limits(values: npt.NDArray[np.float64], quantile: float, margin: float) -> tuple[float, float]:
    low, high = (float(v) for v in np.quantile(values, [quantile, 1.0 - quantile]))
    still = _STANDS_STILL * abs(high) if high - low <= 1e-9 * abs(high) else 0.0
    wider = max(margin * (high - low), still)
    return low - wider, high + wider
