"""Sequences: a cell's check-ups up to and including the one to predict, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.data.samples.sample import Samples
from battery_core.errors import DataError
from battery_core.features.settings import FeatureSettings

Array = npt.NDArray[Any]
#: Possible columns of the time axis, in order of preference; the check-up number is always available.
TIME_COLUMNS = ("time_days", "cycle_count", "checkup_index")


@dataclass(frozen=True)
class SequenceIndex:
    """Index the history rows of each row; features are gathered only where they are needed.

    Shapes: rows (N, T), positions in the table; mask (N, T), True where a row is real, real ones first; t (N, T), time
    of each row by ``FeatureSettings.history_time``, float32, the last real one repeated in the padding.
    """

    rows: Array
    mask: Array
    t: Array

    def take(self, positions: Array | slice) -> SequenceIndex:
        """Return the sequences of these rows."""
        return SequenceIndex(self.rows[positions], self.mask[positions], self.t[positions])

    def gather(self, features: Array) -> Array:
        """Return sequences of the features of all rows: (M, F) -> (N, T, F) float32, zero in the padding."""
        x = features[self.rows].astype(np.float32, copy=False)
        x[~self.mask] = 0.0
        return x


def sequence_index(rows: pd.DataFrame, settings: FeatureSettings) -> SequenceIndex:
    """Return the sequence of each row: itself and earlier check-ups of its cell, at most ``history_checkups`` of them.

    A cell with more check-ups so far is thinned evenly by their number: its first check-up and the one to predict are
    always there, the others lie evenly between them, on the time they were really made. Nothing later than the row to
    predict is looked at, and no other cell.

    Args:
        rows: raw rows in any order, with ``cell_id``, ``checkup_index`` and the time column.
        settings: length of a history and its time axis.

    Raises:
        DataError: there is no time column.

    Example:
        >>> import pandas as pd
        >>> from battery_core.features.settings import FeatureSettings
        >>> rows = pd.DataFrame({"cell_id": "A", "checkup_index": [3, 0, 1, 2], "time_days": [90.0, 0, 10, 20]})
        >>> sequences = sequence_index(rows, FeatureSettings(history_checkups=3, history_time="time_days"))
        >>> sequences.t[0].tolist(), sequences.mask[2].tolist()
        ([0.0, 10.0, 90.0], [True, True, False])
    """
    column = settings.history_time
    if column not in rows:
        raise DataError(
            f"histories: no column '{column}' in the rows; found {', '.join(map(str, rows.columns))} - give it, or "
            f"choose features.history_time out of {', '.join(TIME_COLUMNS)}"
        )
    order, start = _by_cell(rows)
    place = np.arange(len(rows)) - start  # of each row within its cell
    table = _positions(int(place.max(initial=0)) + 1, settings.history_checkups)
    within = table[place]  # (N, T)
    mask = within >= 0
    sorted_rows = np.where(mask, within + start[:, None], np.arange(len(rows))[:, None])
    time = _never_backward(rows[column].to_numpy(dtype=float)[order], start)
    back = np.empty(len(rows), dtype=np.int64)
    back[order] = np.arange(len(rows))
    index = order[sorted_rows].astype(np.int32)
    return SequenceIndex(index[back], mask[back], time[sorted_rows].astype(np.float32)[back])


def with_training_time(settings: FeatureSettings, rows: pd.DataFrame) -> FeatureSettings:
    """Return the settings with the time axis of the training rows in them, to be saved with the model.

    Days where every training row has them, else the number of cycles, else the number of the check-up: then a unit of
    time is a cycle or a check-up, and only gaps between check-ups mean something.

    Example:
        >>> import pandas as pd
        >>> from battery_core.features.settings import FeatureSettings
        >>> rows = pd.DataFrame({"checkup_index": [0, 1], "time_days": [0.0, None], "cycle_count": [1.0, 80.0]})
        >>> with_training_time(FeatureSettings(), rows).history_time
        'cycle_count'
    """
    if settings.history_time != "auto":
        return settings
    time = next(name for name in TIME_COLUMNS if name in rows and rows[name].notna().all())
    return settings.model_copy(update={"history_time": time})


def sequence_samples(samples: Samples, sequences: SequenceIndex, most: int) -> Samples:
    """Return samples with the sequences of their rows, for at most ``most`` check-ups of each cell.

    Shape: x (M, T, F), mask (M, T), t (M, T), out of samples with x (N, F).
    """
    checkups = np.array([meta.checkup_index for meta in samples.meta])
    chosen = thinned(np.array(samples.cell_ids), checkups, most)
    index = sequences.take(chosen)
    meta = [samples.meta[i] for i in chosen]
    return Samples(index.gather(samples.x), samples.y[chosen], meta, index.mask, index.t)


def thinned(cell_ids: Array, checkups: Array, most: int) -> npt.NDArray[np.int64]:
    """Return positions of at most ``most`` check-ups of each cell, evenly over them, for training a sequence model.

    Neighbouring cycles hardly differ, and every history reaches back to the cell's first check-up anyway.

    Example:
        >>> thinned(np.array(["A"] * 9 + ["B"] * 2), np.arange(11), 3).tolist()
        [0, 4, 8, 9, 10]
    """
    if len(cell_ids) == 0:
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((checkups, cell_ids))
    starts = np.flatnonzero(np.r_[True, cell_ids[order][1:] != cell_ids[order][:-1]])
    groups = np.split(order, starts[1:])
    return np.concatenate([group[_spread(len(group), most)] for group in groups])


def _by_cell(rows: pd.DataFrame) -> tuple[Array, Array]:
    """Return the order of the rows by cell and check-up, and for each sorted row where its cell starts."""
    cells, _ = rows["cell_id"].factorize()
    order = np.lexsort((rows["checkup_index"].to_numpy(), cells))
    cells = cells[order]
    return order, np.searchsorted(cells, cells)


def _positions(longest: int, most: int) -> Array:
    """Return positions within the cell of the history of each check-up, real ones first, then -1; (longest, most)."""
    table = np.full((longest, most), -1, dtype=np.int32)
    for last in range(longest):
        places = _spread(last + 1, most)
        table[last, : len(places)] = places
    return table


def _spread(n: int, most: int) -> Array:
    """Return at most ``most`` of n places, evenly, the last always among them."""
    if n <= most:
        return np.arange(n)
    return n - 1 - np.round(np.linspace(0, n - 1, most)).astype(np.int64)[::-1]


def _never_backward(time: Array, start: Array) -> Array:
    """Return time that never decreases within a cell: a missing or earlier time repeats the last one."""
    filled = pd.Series(time).groupby(start).ffill()
    rising: Array = filled.groupby(start).cummax().fillna(0.0).to_numpy()
    return rising
