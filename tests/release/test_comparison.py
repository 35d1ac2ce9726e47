"""Errors that the gate compares: which check-ups and cells count, and what has no error."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from battery_core.release.comparison import build_comparison
from battery_core.release.promotion import decide
from battery_core.release.settings import ReleaseSettings


class Constant:
    """A pipeline that predicts the same everywhere."""

    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return np.full(len(rows), 0.9)

    def features(self, rows: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(index=rows.index)


def table(*lengths: int) -> pd.DataFrame:
    """Test cells A, B, ... of so many check-ups, in two groups, and a training cell."""
    cells = [(name, i, "test") for name, n in zip("ABCDEF", lengths, strict=False) for i in range(n)]
    rows = pd.DataFrame(
        [*cells, *(("T", i, "train") for i in range(4))], columns=["cell_id", "checkup_index", "subset"]
    )
    soh = 1.0 - 0.05 * rows["checkup_index"]
    group = np.where(rows["cell_id"].isin(["A", "C"]), "one", "two")
    return rows.assign(soh=soh, group=group, ambient_temperature_degC=25.0, throughput_Ah=rows["checkup_index"])


def contest(rows: pd.DataFrame, reference: str):
    return build_comparison(Constant(), None, "none", rows, reference, dirty=False)  # type: ignore[arg-type]


def test_every_checkup_counts_unless_it_is_1_by_definition() -> None:
    rows = table(3, 2)
    assert contest(rows, "nominal").challenger == pytest.approx(
        {"A": 100 * (0.1 / 1 + 0.05 / 0.95 + 0.0) / 3, "B": 100 * (0.1 + 0.05 / 0.95) / 2}
    )
    assert contest(rows, "first_checkup").challenger == pytest.approx(
        {"A": 100 * (0.05 / 0.95) / 2, "B": 100 * 0.05 / 0.95}
    )


def test_a_cell_with_its_first_checkup_alone_is_in_no_slice_and_no_count() -> None:
    found = contest(table(3, 3, 1), "first_checkup")
    assert set(found.challenger) == {"A", "B"}
    assert found.slices["group"] == {"one": ("A",), "two": ("B",)}
    assert (found.unseen_cells, found.test_cells) == (2, 3)
    assert all(math.isfinite(error) for error in found.baselines.values())


def test_where_no_checkup_counts_nothing_is_promoted() -> None:
    decision = decide(contest(table(1, 1), "first_checkup"), ReleaseSettings())
    assert not decision.promote
    assert decision.reason.startswith("no test cell has a check-up to compare")
