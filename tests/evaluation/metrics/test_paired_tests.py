"""A difference between models on the same cells: seen when it is there, not seen when it is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from battery_core.evaluation.metrics.paired_tests import compare_with_best

CELLS = [f"c{i}" for i in range(20)]


def errors(seed: int, factor: float = 1.0, noise: float = 0.1) -> pd.Series:
    hard = np.linspace(0.5, 3.0, len(CELLS))  # some cells are hard for every model
    return pd.Series(hard * factor * (1 + np.random.default_rng(seed).normal(0, noise, len(CELLS))), index=CELLS)


def test_a_better_model_is_seen_through_the_spread_of_cells() -> None:
    (found,) = compare_with_best({"good": errors(0), "worse": errors(1, factor=1.2)})
    assert (found.best, found.model, found.n_cells) == ("good", "worse", 20)
    assert 0.1 < found.gain < 0.25
    assert found.p_value < 0.001


def test_equal_models_are_rarely_called_different() -> None:
    claims = sum(compare_with_best({"a": errors(2 * i), "b": errors(2 * i + 1)})[0].p_value < 0.05 for i in range(300))
    assert binomtest(claims, 300, 0.05).pvalue > 0.01


def test_p_values_are_corrected_for_the_number_of_models() -> None:
    models = {"best": errors(0), "b": errors(1, 1.05), "c": errors(2, 1.05), "d": errors(3, 1.05)}
    alone = {
        name: compare_with_best({"best": models["best"], name: models[name]})[0].p_value for name in ("b", "c", "d")
    }
    together = {found.model: found.p_value for found in compare_with_best(models)}
    smallest = min(alone, key=lambda name: alone[name])
    assert together[smallest] == pytest.approx(min(1.0, 3 * alone[smallest]))
    assert all(together[name] >= alone[name] for name in alone)


def test_the_same_model_twice_and_a_model_alone() -> None:
    (same,) = compare_with_best({"a": errors(0), "b": errors(0)})
    assert (same.gain, same.wins, same.p_value) == (0.0, 0.0, 1.0)
    assert compare_with_best({"a": errors(0)}) == []


def test_only_cells_that_all_were_tested_on_count() -> None:
    (found,) = compare_with_best({"a": errors(0), "b": errors(1).drop(CELLS[:5])})
    assert found.n_cells == 15
