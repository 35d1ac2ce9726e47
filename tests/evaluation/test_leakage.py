"""A model that looks into a cell's future is found out, an honest one is left in peace."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_core.evaluation.leakage import check_causality, life_fraction_columns


@pytest.fixture
def rows() -> pd.DataFrame:
    lives = {"A": 40, "B": 60, "C": 100}
    parts = [
        pd.DataFrame({"cell_id": cell, "checkup_index": np.arange(n), "soh": np.linspace(1, 0.8, n)})
        for cell, n in lives.items()
    ]
    return pd.concat(parts, ignore_index=True).sample(frac=1.0, random_state=0)


def cumulative(rows: pd.DataFrame) -> np.ndarray:
    ordered = rows.sort_values(["cell_id", "checkup_index"])
    return ordered.groupby("cell_id")["soh"].cummin().reindex(rows.index).to_numpy()


def whole_life(rows: pd.DataFrame) -> np.ndarray:
    groups = rows.groupby("cell_id")["soh"]
    return ((rows["soh"] - groups.transform("min")) / (groups.transform("max") - groups.transform("min"))).to_numpy()


def test_the_past_may_be_used(rows: pd.DataFrame) -> None:
    assert check_causality(cumulative, rows) == ""


def test_scaling_by_the_whole_life_is_found(rows: pd.DataFrame) -> None:
    found = check_causality(whole_life, rows)
    assert "predictions of 3 of 3 test cells change when their later check-ups are withheld" in found


def test_a_missing_estimate_stays_missing(rows: pd.DataFrame) -> None:
    assert check_causality(lambda r: np.full(len(r), np.nan), rows) == ""


def test_an_estimate_that_needs_the_future_is_found(rows: pd.DataFrame) -> None:
    def only_with_ninety(r: pd.DataFrame) -> np.ndarray:
        return np.where(r.groupby("cell_id")["checkup_index"].transform("max") > 90, 0.9, np.nan)

    assert "predictions of 1 of 3 test cells" in check_causality(only_with_ninety, rows)


def test_a_column_made_of_the_end_of_life_gives_itself_away(rows: pd.DataFrame) -> None:
    last = rows.groupby("cell_id")["checkup_index"].transform("max")
    features = pd.DataFrame(
        {"cycle": rows["checkup_index"], "constant": 1.0, "scaled": 5 - 2 * rows["checkup_index"] / last}
    )
    assert life_fraction_columns(features, rows) == ["scaled"]


def test_cells_of_equal_life_cannot_tell(rows: pd.DataFrame) -> None:
    equal = rows[rows["checkup_index"] < 40]
    assert life_fraction_columns(pd.DataFrame({"cycle": equal["checkup_index"]}), equal) == []
