"""Baselines by hand: fitted on training cells only, and none of them looks at the label it is asked for."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_core.evaluation.baselines import (
    BASELINES,
    leak_probe,
    life_fraction,
    linear_throughput,
    persistence,
    train_mean,
    usage_column,
)
from battery_core.evaluation.settings import BASELINE_NAMES


def cell(name: str, soh: list[float], step_Ah: float = 100.0) -> pd.DataFrame:
    index = np.arange(len(soh))
    return pd.DataFrame(
        {
            "cell_id": name,
            "checkup_index": index,
            "soh": soh,
            "cycle_count": index + 1.0,
            "throughput_Ah": index * step_Ah,
        }
    )


TRAIN = pd.concat([cell("A", [1.0, 0.9, 0.8]), cell("B", [0.98, 0.88])], ignore_index=True)
TEST = pd.concat([cell("C", [0.97, 0.90, 0.86]), cell("D", [0.99, 0.95])], ignore_index=True)


def test_train_mean() -> None:
    assert train_mean(TRAIN, TEST) == pytest.approx([(1.0 + 0.9 + 0.8 + 0.98 + 0.88) / 5] * 5)


def test_persistence_is_the_checkup_before() -> None:
    start = (1.0 + 0.98) / 2  # the mean of training cells' first check-ups: nothing is known of a new cell
    assert persistence(TRAIN, TEST) == pytest.approx([start, 0.97, 0.90, start, 0.99])


def test_persistence_in_any_order_and_with_a_gap() -> None:
    order = [2, 4, 0, 3, 1]
    assert persistence(TRAIN, TEST.iloc[order]) == pytest.approx(persistence(TRAIN, TEST)[order])
    gap = TEST.drop(index=1)
    assert persistence(TRAIN, gap)[1] == pytest.approx(0.97)  # check-up 1 is missing: 2 is compared with 0
    late = TRAIN[TRAIN["checkup_index"] > 0]
    assert persistence(late, TEST)[0] == pytest.approx((0.9 + 0.88) / 2)


def test_settings_name_every_baseline() -> None:
    assert tuple(BASELINES) == BASELINE_NAMES


@pytest.mark.parametrize("name", BASELINES)
def test_no_baseline_looks_at_the_label_it_is_asked_for(name: str) -> None:
    before = BASELINES[name](TRAIN, TEST)
    for row in range(len(TEST)):
        changed = TEST.copy()
        later = (changed["cell_id"] == changed.loc[row, "cell_id"]) & (changed["checkup_index"] >= row % 3)
        changed.loc[later, "soh"] = 0.1
        after = BASELINES[name](TRAIN, changed)
        assert after[row] == before[row]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_fitted_on_training_cells_only(name: str) -> None:
    alone = BASELINES[name](TRAIN, TEST.iloc[:3])
    assert BASELINES[name](TRAIN, TEST)[:3] == pytest.approx(alone, rel=1e-12)


def test_linear_throughput_is_the_least_squares_line() -> None:
    train = cell("A", [1.0, 0.9, 0.8])  # 1 - 0.001 per Ah
    assert linear_throughput(train, TEST) == pytest.approx([1.0, 0.9, 0.8, 1.0, 0.9])
    unknown = TEST.assign(throughput_Ah=[np.nan, 100, 200, 0, 100])
    assert linear_throughput(train, unknown)[0] == pytest.approx(0.9)  # the training median of the throughput


def test_without_throughput_the_line_is_over_cycles() -> None:
    assert usage_column(TRAIN) == "throughput_Ah"
    without = TRAIN.assign(throughput_Ah=np.nan)
    assert usage_column(without) == "cycle_count"
    assert usage_column(TRAIN[["checkup_index"]]) == "checkup_index"
    train, test = cell("A", [1.0, 0.9, 0.8], np.nan), TEST.assign(throughput_Ah=5.0)
    assert linear_throughput(train, test) == pytest.approx([1.0, 0.9, 0.8, 1.0, 0.9])


def test_the_fraction_of_life_needs_the_future() -> None:
    assert life_fraction(TEST).tolist() == [0.0, 0.5, 1.0, 0.0, 1.0]
    assert life_fraction(cell("A", [1.0])).tolist() == [0.0]
    longer = pd.concat([TEST, cell("C", [0.97, 0.90, 0.86, 0.8, 0.7]).iloc[3:]], ignore_index=True)
    assert life_fraction(longer)[1] == 0.25  # what the probe says of a row changes with the rows to come


def test_the_probe_knows_how_far_a_life_has_gone() -> None:
    train = pd.concat([cell(name, list(np.linspace(1.0, 0.8, n))) for name, n in (("A", 501), ("B", 501))])
    test = cell("C", list(np.linspace(1.0, 0.8, 11)))
    assert leak_probe(train, test) == pytest.approx(test["soh"], abs=0.0025)  # half a bin of 1/50
    assert leak_probe(train.iloc[::-1], test) == pytest.approx(leak_probe(train, test))


def test_the_probe_averages_training_rows_of_a_bin() -> None:
    train = pd.concat([cell("A", [1.0, 0.8]), cell("B", [0.9, 0.6])], ignore_index=True)
    assert leak_probe(train, cell("C", [0.0, 0.0])) == pytest.approx([0.95, 0.7])
