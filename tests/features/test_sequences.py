"""Histories: which earlier check-ups a sequence model sees, on which time, and what is never in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.samples.sample import SampleMeta, Samples
from battery_core.errors import DataError
from battery_core.features.sequences import sequence_index, sequence_samples, thinned, with_training_time
from battery_core.features.settings import FeatureSettings

GENERATOR = np.random.default_rng(0)


def cells(lengths: dict[str, int], seed: int = 0) -> pd.DataFrame:
    """Check-ups of cells on uneven days, in a random order of rows."""
    generator = np.random.default_rng(seed)
    parts = [
        pd.DataFrame({"cell_id": cell, "checkup_index": range(n), "time_days": generator.uniform(1, 60, n).cumsum()})
        for cell, n in lengths.items()
    ]
    return pd.concat(parts).sample(frac=1, random_state=seed)


def settings(**changes: Any) -> FeatureSettings:
    return FeatureSettings(**{"history_checkups": 4, "history_time": "time_days", **changes})


def by_hand(rows: pd.DataFrame, row: Any, most: int) -> list[tuple[str, int]]:
    """The second way: filter, sort, and pick evenly counted back from the last."""
    own = rows[(rows["cell_id"] == row.cell_id) & (rows["checkup_index"] <= row.checkup_index)]
    known = sorted(own["checkup_index"])
    n = len(known)
    picked = range(n) if n <= most else sorted(n - 1 - round(k * (n - 1) / (most - 1)) for k in range(most))
    return [(row.cell_id, known[i]) for i in picked]


@pytest.mark.parametrize("most", [2, 4, 7])
def test_histories_are_those_picked_by_hand_whatever_the_order_of_rows(most: int) -> None:
    rows = cells({"A": 11, "B": 3, "C": 1, "D": 30})
    found = sequence_index(rows, settings(history_checkups=most))
    assert found.rows.shape == found.mask.shape == found.t.shape == (45, most)
    for i, row in enumerate(rows.itertuples()):
        seen = rows.iloc[found.rows[i][found.mask[i]]]
        assert list(zip(seen["cell_id"], seen["checkup_index"], strict=True)) == by_hand(rows, row, most)
        np.testing.assert_allclose(found.t[i][found.mask[i]], seen["time_days"], rtol=1e-6)


def test_real_rows_come_first_and_the_last_of_them_is_the_row_to_predict() -> None:
    rows = cells({"A": 9, "B": 2})
    found = sequence_index(rows, settings())
    count = found.mask.sum(axis=1)
    assert (found.mask == (np.arange(4) < count[:, None])).all()
    assert (found.rows[np.arange(11), count - 1] == np.arange(11)).all()
    assert (np.diff(found.t, axis=1) >= 0).all()  # also into the padding


def test_a_history_of_one_is_the_checkup_alone() -> None:
    found = sequence_index(cells({"A": 5}), settings(history_checkups=1))
    assert found.rows[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_padding_is_zero_and_features_are_gathered_by_row() -> None:
    rows = cells({"A": 6, "B": 2})
    features = GENERATOR.normal(size=(8, 3))
    found = sequence_index(rows, settings())
    x = found.take(np.array([5, 1])).gather(features)
    assert (x.dtype, x.shape) == (np.float32, (2, 4, 3))
    for history, mask, index in zip(x, found.mask[[5, 1]], found.rows[[5, 1]], strict=True):
        np.testing.assert_array_equal(history[mask], features[index[mask]].astype(np.float32))
        assert (history[~mask] == 0).all()


def test_missing_or_backward_time_stands_still() -> None:
    rows = pd.DataFrame({"cell_id": list("AAAAB"), "checkup_index": [0, 1, 2, 3, 0]})
    found = sequence_index(rows.assign(time_days=[np.nan, 9.0, 5.0, np.nan, 2.0]), settings())
    assert found.t[3].tolist() == [0.0, 9.0, 9.0, 9.0]
    assert found.t[4][0] == 2.0


@pytest.mark.parametrize(
    ("days", "cycles", "time"),
    [
        ([0.0, 5.0], [1.0, 2.0], "time_days"),
        ([0.0, None], [1.0, 2.0], "cycle_count"),
        ([None] * 2, [None] * 2, "checkup_index"),
    ],
)
def test_the_time_axis_is_the_best_that_training_has(days: list[Any], cycles: list[Any], time: str) -> None:
    rows = pd.DataFrame({"checkup_index": [0, 1], "time_days": days, "cycle_count": cycles})
    assert with_training_time(FeatureSettings(), rows).history_time == time
    assert with_training_time(settings(), rows).history_time == "time_days"  # as the settings say


def test_a_time_axis_that_is_not_there_is_named() -> None:
    with pytest.raises(DataError, match=r"no column 'cycle_count' in the rows; found cell_id, .*history_time out of"):
        sequence_index(cells({"A": 2}), settings(history_time="cycle_count"))


def test_no_rows_have_no_histories() -> None:
    assert sequence_index(cells({"A": 2}).iloc[:0], settings()).rows.shape == (0, 4)


def test_training_takes_evenly_many_checkups_of_each_cell() -> None:
    rows = cells({"A": 100, "B": 3})
    kept = rows.iloc[thinned(rows["cell_id"].to_numpy(), rows["checkup_index"].to_numpy(), 5)]
    by_cell = {cell: sorted(part["checkup_index"]) for cell, part in kept.groupby("cell_id")}
    assert by_cell == {"A": [0, 25, 49, 74, 99], "B": [0, 1, 2]}


def test_samples_carry_the_whole_history_of_their_cells() -> None:
    rows = cells({"A": 20, "B": 4, "C": 5})
    x = np.arange(29.0)[:, None]
    meta = [SampleMeta(r.cell_id, r.checkup_index) for r in rows.itertuples()]
    made = sequence_samples(Samples(x, x, meta), sequence_index(rows, settings()), 3)
    assert {(m.cell_id, m.checkup_index) for m in made.meta if m.cell_id == "A"} == {("A", 0), ("A", 9), ("A", 19)}
    assert sorted(made.cell_ids) == ["A"] * 3 + ["B"] * 3 + ["C"] * 3
    assert made.mask is not None
    last = made.x[np.arange(len(made)), made.mask.sum(axis=1) - 1, 0]
    np.testing.assert_array_equal(last, made.y[:, 0])  # the row to predict closes its history
