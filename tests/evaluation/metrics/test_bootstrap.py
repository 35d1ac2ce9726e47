"""Intervals and tests over cells, beside closed forms and counts by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from battery_core.evaluation.metrics.bootstrap import interval_over_cells, paired_gain


def test_the_interval_is_near_the_normal_one_for_many_cells() -> None:
    errors = np.random.default_rng(1).normal(2.0, 0.5, size=400)
    interval = interval_over_cells(errors)
    half = 1.96 * errors.std(ddof=1) / 20
    assert interval.low == pytest.approx(errors.mean() - half, abs=0.005)
    assert interval.high == pytest.approx(errors.mean() + half, abs=0.005)


def test_a_figure_that_is_not_finite_has_no_interval() -> None:
    assert np.isnan(interval_over_cells([1.0, float("nan")]).low)


def test_the_p_value_counts_sign_patterns() -> None:
    ours, theirs = [1.0, 1.0, 1.0, 1.0], [1.5, 1.2, 0.9, 1.4]
    differences = np.subtract(theirs, ours)
    as_large = sum(
        np.dot(signs, differences) >= differences.sum() - 1e-12 for signs in itertools.product([1, -1], repeat=4)
    )
    assert paired_gain(ours, theirs).p_value == as_large / 16


def test_many_cells_are_sampled_near_the_exact_value() -> None:
    differences = np.random.default_rng(3).normal(0.1, 0.3, size=14)
    theirs = 1.0 + differences
    exact = paired_gain(np.ones(14), theirs).p_value
    more = paired_gain(np.ones(15), np.append(theirs, 1.0 + 1e-15)).p_value  # one cell that says nothing: sampled
    assert more == pytest.approx(exact, abs=0.02)


def test_equal_models_look_better_as_often_as_stated_the_bootstrap_of_few_cells_more_often() -> None:
    rng = np.random.default_rng(5)
    nights = [np.exp(rng.normal(0, 0.5, 6) + rng.normal(0, 0.25, (2, 6))) for _ in range(2000)]  # skewed, few
    gains = [paired_gain(*night) for night in nights]
    assert np.mean([gain.p_value <= 0.05 for gain in gains]) == pytest.approx(3 / 64, abs=0.01)
    assert np.mean([gain.low > 0 for gain in gains]) > 0.08


def test_a_champion_without_error_is_not_beaten() -> None:
    assert paired_gain([0.1, 0.1], [0.0, 0.0]).gain == -np.inf
    assert paired_gain([0.0, 0.0], [0.0, 0.0]).gain == 0.0


def test_errors_of_other_cells_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected two errors a cell, got shapes \(2,\) and \(3,\)"):
        paired_gain([1.0, 2.0], [1.0, 2.0, 3.0])
