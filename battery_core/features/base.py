"""The contract of a feature set, and the one function that turns raw rows into features."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from battery_core.data.sources.base import CANONICAL_ROLES, Source
from battery_core.data.tables.roles import Role
from battery_core.errors import DataError, SettingsError
from battery_core.features.registry import FEATURES
from battery_core.features.settings import FeatureSettings

_LOG = logging.getLogger(__name__)


class FeatureSet(ABC):
    """Model inputs that are measured by the time of a check-up; the capacity of the check-up is not among them."""

    name: ClassVar[str]
    requires: ClassVar[tuple[str, ...]] = ()
    """Raw columns without which it cannot be computed."""
    uses: ClassVar[tuple[str, ...]] = ()
    """Raw columns that it reads where they are measured."""

    @abstractmethod
    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Return the features of each row, with the index of ``rows``.

        ``rows`` are sorted by cell and check-up. Row i may depend only on rows of the same cell with a checkup_index
        not above its own: nothing from a cell's future, nothing from other cells.
        """


def feature_names(
    settings: FeatureSettings, source: Source | type[Source], with_history: bool = False
) -> tuple[str, ...]:
    """Return the feature sets of a model: those of the settings, or for ``auto`` those of the source."""
    if settings.sets != ("auto",):
        return settings.sets
    if not with_history:
        return source.default_feature_sets
    history_sets = source.default_history_sets if settings.history_sets == ("auto",) else settings.history_sets
    return (*source.default_feature_sets, *history_sets)


def build_features(
    rows: pd.DataFrame,
    names: Sequence[str],
    settings: FeatureSettings | None = None,
    roles: Mapping[str, Role] | None = None,
) -> pd.DataFrame:
    """Return features of raw rows (see ``join_rows``), shape (N, F), float64, with the index and order of ``rows``.

    Label-equivalent columns are removed before any feature set reads the rows. Columns that are absent or without
    any value are left out; what was left out and why is in ``features.attrs["notes"]``.

    Args:
        rows: raw rows; capacity_Ah may be there or not, it is never read.
        names: names of feature sets.
        settings: constants of the feature sets.
        roles: role of each raw column, from ``source.roles()``; canonical roles hold for the others.

    Raises:
        DataError: a required column is missing, or no feature is left.
        SettingsError: a required column is label-equivalent.
    """
    settings = settings or FeatureSettings()
    hidden = {c for c, role in {**CANONICAL_ROLES, **(roles or {})}.items() if role == Role.LABEL_EQUIVALENT}
    position = pd.RangeIndex(len(rows))  # the caller's index may repeat
    visible = rows.drop(columns=[c for c in hidden if c in rows]).set_index(position)
    ordered = visible if is_ordered(visible) else visible.sort_values(["cell_id", "checkup_index"], kind="stable")
    frames: list[pd.DataFrame] = []
    notes = []
    for name in names:
        feature_set = FEATURES.get(name)
        _check_required(name, feature_set, ordered, hidden)
        notes += _missing_columns(name, feature_set, ordered, hidden)
        frames.append(feature_set.compute(ordered, settings))
    return _finish(_joined(frames, position), rows, names, notes)


def _joined(frames: Sequence[pd.DataFrame], position: pd.RangeIndex) -> pd.DataFrame:
    """Return the features of all sets in one matrix, each name once, rows by position."""
    unique: list[pd.DataFrame] = []
    columns: list[str] = []
    for frame in frames:
        repeated = [c for c in frame if str(c) in columns]
        unique.append(frame.drop(columns=repeated) if repeated else frame)
        columns += map(str, unique[-1])
    values, end = np.empty((len(position), len(columns))), 0
    for frame in unique:
        at = slice(None) if frame.index.equals(position) else frame.index.to_numpy()  # a slice is several times faster
        end += frame.shape[1]
        values[at, end - frame.shape[1] : end] = frame.to_numpy(dtype=np.float64)
    return pd.DataFrame(values, index=position, columns=columns, copy=False)


def pieces_of_cells(cell_ids: pd.Series[str], rows_at_once: int) -> list[slice]:
    """Return slices of whole cells, each of about ``rows_at_once`` rows; one slice where cells are interleaved.

    Example:
        >>> import pandas as pd
        >>> pieces_of_cells(pd.Series(["A", "A", "A", "B", "C", "C"]), 2)
        [slice(0, 3, None), slice(3, 4, None), slice(4, 6, None)]
        >>> pieces_of_cells(pd.Series(["A", "B", "A"]), 2)
        [slice(0, 3, None)]
    """
    n = len(cell_ids)
    cells, names = cell_ids.factorize()
    starts = np.flatnonzero(np.r_[True, cells[1:] != cells[:-1]])
    if n <= rows_at_once or len(starts) > len(names):
        return [slice(0, n)]
    cuts = [*np.unique(starts[np.searchsorted(starts, range(0, starts[-1] + 1, rows_at_once))]).tolist(), n]
    return [slice(start, end) for start, end in pairwise(cuts)]


def is_ordered(rows: pd.DataFrame) -> bool:
    """Return whether each cell's rows are contiguous with rising check-ups: sorting a million rows takes seconds."""
    cells, names = rows["cell_id"].factorize()
    same = cells[1:] == cells[:-1]
    rising = rows["checkup_index"].to_numpy()[1:] > rows["checkup_index"].to_numpy()[:-1]
    return bool((~same).sum() < max(len(names), 1) and np.all(rising | ~same))


def _finish(features: pd.DataFrame, rows: pd.DataFrame, names: Sequence[str], notes: list[str]) -> pd.DataFrame:
    empty = [c for c in features if _without_value(features[c])]
    features = features.drop(columns=empty) if empty else features
    notes = notes + [f"{c}: no value in any row, left out" for c in empty]
    if features.shape[1] == 0:
        raise DataError(
            f"features: nothing is left of {', '.join(names) or 'no feature set'} "
            f"({'; '.join(notes) or 'none asked for'}) - choose another of features.sets"
        )
    features.index = rows.index
    features.attrs["notes"] = notes
    for note in notes:
        _LOG.debug("features: %s", note)
    return features


def _check_required(name: str, feature_set: FeatureSet, rows: pd.DataFrame, hidden: set[str]) -> None:
    for column in feature_set.requires:
        if column in hidden:
            raise SettingsError(
                f"feature set '{name}' requires '{column}', which is label-equivalent for this source: it nearly is "
                "the capacity to predict - choose other features.sets"
            )
        if column not in rows:
            raise DataError(
                f"feature set '{name}': no column '{column}' in the rows; found {', '.join(map(str, rows.columns))} - "
                "give it or choose other features.sets"
            )


def _missing_columns(name: str, feature_set: FeatureSet, rows: pd.DataFrame, hidden: set[str]) -> list[str]:
    """Return a note for each column that the set could use but is missing."""
    notes = []
    for column in feature_set.uses:
        if column in hidden:
            notes.append(f"{name}: {column} left out, label-equivalent for this source")
        elif column not in rows:
            notes.append(f"{name}: {column} left out, not in this source")
        elif _without_value(rows[column]):
            notes.append(f"{name}: {column} left out, no value in any row")
    return notes


def usable(rows: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Return the columns that are there and have a value in some row."""
    return [c for c in columns if c in rows and not _without_value(rows[c])]


def _without_value(column: pd.Series[Any]) -> bool:
    """Return whether no row has a value; the first row mostly decides."""
    return not column.iloc[:1].notna().any() and bool(column.isna().all())
