"""Intervals: the quantile by hand, cells weigh alike, and the promise kept over many drawings of cells."""

from __future__ import annotations

import numpy as np
import pytest

from battery_core.errors import DataError
from battery_core.uncertainty.conformal import Conformal, fade_scale


def by_hand(soh, prediction, cells, coverage: float) -> float:
    """The smallest factor that holds the wanted share, each cell weighing one: by trying every score."""
    scores = np.abs(soh - prediction) / (0.05 + np.maximum(1 - prediction, 0))
    names = sorted(set(cells))
    for factor in np.sort(scores):
        held = np.mean([np.mean(scores[cells == name] <= factor) for name in names])
        if held >= coverage - 1e-9:
            return float(factor)
    raise AssertionError


def drawn(rng: np.random.Generator, n_cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """SOH, predictions and cells: a bias of each cell, noise, errors that grow with fade, cells of unequal length."""
    cells = np.repeat(np.arange(n_cells), rng.integers(5, 60, n_cells))
    prediction = rng.uniform(0.75, 1.02, len(cells))
    error = rng.normal(0, 0.06, n_cells)[cells] + rng.normal(0, 0.03, len(cells))
    return prediction + error * fade_scale(prediction), prediction, cells


def held_when_left_out(soh, prediction, cells, level: float) -> float:
    """Mean share of a cell's check-ups that the quantile of the other cells holds."""
    shares = []
    for cell in sorted(set(cells)):
        out = cells == cell
        half = by_hand(soh[~out], prediction[~out], cells[~out], level) * fade_scale(prediction[out])
        shares.append(np.mean(np.abs(soh[out] - prediction[out]) <= half + 1e-12))
    return float(np.mean(shares))


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9])
def test_the_quantile_is_the_one_found_by_hand(coverage: float) -> None:
    soh, prediction, cells = drawn(np.random.default_rng(1), 7)
    conformal = Conformal.conformalize(soh, prediction, cells, coverage)
    levels = np.arange(coverage, 1.0, 0.01)
    held = [held_when_left_out(soh, prediction, cells, level) for level in levels]
    first = next(i for i, share in enumerate(held) if share >= coverage)
    below, at = (by_hand(soh, prediction, cells, levels[max(i, 0)]) for i in (first - 1, first))
    assert below <= conformal.quantiles[coverage] <= at
    assert (conformal.n_cells, conformal.n_rows) == (7, len(soh))


def test_the_level_is_raised_where_cells_are_few() -> None:
    soh, prediction, cells = drawn(np.random.default_rng(1), 7)
    assert held_when_left_out(soh, prediction, cells, 0.9) < 0.9
    plain = by_hand(soh, prediction, cells, 0.9)
    assert Conformal.conformalize(soh, prediction, cells, 0.9).quantiles[0.9] > plain


def test_a_cell_weighs_one_however_many_checkups_it_has() -> None:
    good, bad = np.full(1000, 0.9), np.full(4, 0.95)
    soh, cells = np.full(1004, 0.9), np.array(["good"] * 1000 + ["bad"] * 4)
    conformal = Conformal.conformalize(soh, np.r_[good, bad], cells)
    assert conformal.quantiles[0.5] == 0.0
    assert conformal.quantiles[0.6] == pytest.approx(0.05 / 0.10)  # pooled over rows it would be 0 up to 99.6 %


@pytest.mark.parametrize("n_cells", [8, 20])
def test_new_cells_are_covered_as_promised(n_cells: int) -> None:
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(200):
        conformal = Conformal.conformalize(*drawn(rng, n_cells))
        soh, prediction, _ = drawn(rng, 1)
        lower, upper = conformal.bounds(prediction)
        covered.append(np.mean((soh >= lower) & (soh <= upper)))
    assert conformal.guaranteed == pytest.approx(0.9 * n_cells / (n_cells + 1))
    assert 0.88 < np.mean(covered) < 0.93  # at the quantile of 0.9 itself 8 cells hold 0.86


def test_intervals_are_centred_and_grow_with_fade() -> None:
    conformal = Conformal(0.9, {0.8: 0.1, 0.9: 0.2}, 9, 100)
    lower, upper = conformal.bounds([1.05, 1.0, 0.8])
    np.testing.assert_allclose((lower + upper) / 2, [1.05, 1.0, 0.8])
    np.testing.assert_allclose(upper - lower, 2 * 0.2 * np.array([0.05, 0.05, 0.25]))
    np.testing.assert_allclose(np.subtract(*conformal.bounds([1.0], 0.8)), [-2 * 0.1 * 0.05])


def test_rows_without_label_or_prediction_are_left_out() -> None:
    soh, prediction = np.array([0.9, np.nan, 0.8, 0.7]), np.array([0.9, 0.9, np.inf, 0.8])
    assert Conformal.conformalize(soh, prediction, ["A", "A", "B", "C"]).n_cells == 2
    with pytest.raises(DataError, match=r"intervals: none of 1 check-ups .* has a label and a prediction"):
        Conformal.conformalize([np.nan], [0.9], ["A"])


def test_it_comes_back_from_json_as_it_was() -> None:
    import json

    conformal = Conformal.conformalize(*drawn(np.random.default_rng(3), 4), coverage=0.87)
    assert Conformal.from_json(json.loads(json.dumps(conformal.to_json()))) == conformal
    assert 0.87 in conformal.quantiles
