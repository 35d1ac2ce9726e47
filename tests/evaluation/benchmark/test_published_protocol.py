"""The published protocol: that it leaks, how, and that nothing else is changed by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_core.data.tables.roles import CHARGE_STATISTICS
from battery_core.evaluation.benchmark.published_protocol import (
    LEAKING_MODELS,
    ONLY_THE_LEAK,
    PUBLISHED,
    fit_as_published,
    published_features,
)
from battery_core.evaluation.leakage import life_fraction_columns
from battery_core.settings import Settings

LIVES = {"A": 40, "B": 90, "C": 60, "D": 50, "E": 120, "F": 75}


@pytest.fixture
def rows() -> pd.DataFrame:
    """Six cells of very different life, all used until 80 %; their statistics are noise and say nothing."""
    generator = np.random.default_rng(0)
    parts = []
    for cell, n in LIVES.items():
        life = np.linspace(0, 1, n)
        table = pd.DataFrame({name: generator.normal(size=n).clip(-2, 2) for name in CHARGE_STATISTICS})
        part = "test" if cell in "EF" else "val" if cell == "D" else "train"
        table = table.assign(cell_id=cell, group="g", subset=part, checkup_index=np.arange(n), cycle_count=np.arange(n))
        parts.append(table.assign(soh=1 - 0.2 * life, capacity_Ah=2 * (1 - 0.2 * life)))
    return pd.concat(parts, ignore_index=True)


def test_every_cell_is_scaled_by_its_own_whole_life(rows) -> None:
    kept, features = published_features(rows)
    assert len(kept) == len(rows)
    for _, cell in features.groupby(kept["cell_id"]):
        assert cell.min().to_numpy() == pytest.approx(-1.0)
        assert cell.max().to_numpy() == pytest.approx(1.0)
    assert life_fraction_columns(features, kept) == ["cycle_count"]


def test_early_features_change_when_the_rest_of_life_is_withheld(rows) -> None:
    early = rows[rows["checkup_index"] < 20]
    whole, cut = published_features(rows)[1], published_features(early)[1]
    assert (whole.loc[cut.index, "cycle_count"] - cut["cycle_count"]).abs().max() > 0.5


def test_rows_with_a_far_label_are_removed_from_test_cells_too(rows) -> None:
    at = rows.index[(rows["cell_id"] == "E") & (rows["checkup_index"] == 60)][0]
    rows.loc[rows["cell_id"] != "E", "capacity_Ah"] *= 10  # far for its own cell, not among all
    rows.loc[at, "capacity_Ah"] = 0.2
    kept, features = published_features(rows)
    assert set(rows.index) - set(kept.index) == {at}
    assert list(features.index) == list(kept.index)


def test_a_column_that_never_changes_in_a_cell_is_zero(rows) -> None:
    rows.loc[rows["cell_id"] == "A", "voltage_mean_V"] = 4.1
    kept, features = published_features(rows)
    assert set(features.loc[kept["cell_id"] == "A", "voltage_mean_V"]) == {0.0}


def test_who_is_told_only_the_leak_needs_nothing_else(rows, no_settings_around) -> None:
    """The features are noise, lives differ threefold: an honest model could do no better than the mean (5 %)."""
    sections = {"lgbm": Settings().lgbm.model_dump() | {"min_child_samples": 3, "num_threads": 1, "n_estimators": 300}}
    found = fit_as_published(rows, ONLY_THE_LEAK, sections, seed=0)
    assert found["cell_id"].tolist() == ["E", "F"]
    assert found["mape"].max() < 1.0
    mean = rows.loc[rows["subset"] == "train", "soh"].mean()
    assert ((rows["soh"] - mean).abs() / rows["soh"])[rows["subset"] == "test"].mean() > 0.05


def test_published_figures_are_of_groups_that_the_sources_have() -> None:
    assert {source: len(groups) for source, groups in PUBLISHED.items()} == {"xjtu": 6, "tju": 3, "hust": 1}
    assert PUBLISHED["hust"]["HUST"] == {"PINN": 0.78, "MLP": 0.80, "CNN": 0.74}
    assert set(LEAKING_MODELS.values()) == {"mlp", "lgbm"}
