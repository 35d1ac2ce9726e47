"""Sampled Shapley values against closed forms, full enumeration and their own promise: the parts add up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from battery_core.evaluation.explain.shapley import shapley
from battery_core.models.mlp import MLPModel

Array = npt.NDArray[np.float64]
GENERATOR = np.random.default_rng(5)
X, BACKGROUND = GENERATOR.normal(size=(7, 6)), GENERATOR.normal(size=(4, 6))


def curved(x: Array) -> Array:
    """No feature is alone: products, a threshold and a wave."""
    found: Array = x[:, 0] * x[:, 1] * x[:, 2] + np.where(x[:, 3] > 0, x[:, 4], 0.5) + np.sin(2 * x[:, 0] + x[:, 5])
    return found


def enumerated(model: Callable[[Array], Array], x: Array, background: Array) -> Array:
    """Shapley values of one row by all subsets of features, straight from the definition."""
    n = len(x)

    def value(subset: tuple[int, ...]) -> float:
        rows = background.copy()
        rows[:, list(subset)] = x[list(subset)]
        return float(model(rows).mean())

    found = np.zeros(n)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for size in range(n):
            weight = factorial(size) * factorial(n - size - 1) / factorial(n)
            found[i] += weight * sum(value((*s, i)) - value(s) for s in combinations(others, size))
    return found


def test_the_parts_add_up_to_a_networks_estimate() -> None:
    mlp = MLPModel(6, hidden_dims=[16], n_members=2).eval()

    def model(x: Array) -> Array:
        return mlp.predict(x)[:, 0]

    values, _ = shapley(model, X, BACKGROUND)
    np.testing.assert_allclose(values.sum(axis=1), model(X) - model(BACKGROUND).mean(), rtol=0, atol=1e-6)
    assert np.abs(values).max() > 0.01


def test_a_linear_models_values_are_in_closed_form() -> None:
    weights = np.array([1.0, -2.0, 0.0, 0.5, 3.0, -1.0])
    values, _ = shapley(lambda x: x @ weights + 7.0, X, BACKGROUND)
    np.testing.assert_allclose(values, weights * (X - BACKGROUND.mean(axis=0)), atol=1e-12)


def test_two_orders_that_mirror_each_other_are_exact_for_products_of_two() -> None:
    x, b = X[:1], BACKGROUND[:1]
    values, errors = shapley(lambda x: x[:, 0] * x[:, 1] + x[:, 2] * x[:, 4], x, b)
    first = ((x[0, 0] - b[0, 0]) * (x[0, 1] + b[0, 1])) / 2
    assert values[0, 0] == pytest.approx(first, abs=1e-12)
    assert values[0, 3] == 0.0
    assert np.isnan(errors).all()  # one background row says nothing of the spread


def test_values_are_those_of_all_subsets_within_their_error() -> None:
    exact = np.stack([enumerated(curved, x, BACKGROUND) for x in X])
    coarse, coarse_error = shapley(curved, X, np.repeat(BACKGROUND, 5, axis=0), seed=1)
    values, errors = shapley(curved, X, np.repeat(BACKGROUND, 400, axis=0), seed=1)
    assert np.abs(values - exact).max() < 0.06
    assert (np.abs(values - exact) < 4 * errors).all()
    assert np.abs(values - exact).mean() < 0.4 * np.abs(coarse - exact).mean()
    assert errors.mean() == pytest.approx(coarse_error.mean() / np.sqrt(80), rel=0.2)


def test_the_seed_decides_and_rows_do_not_depend_on_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    values, errors = shapley(curved, X, BACKGROUND, seed=3)
    again, _ = shapley(curved, X, BACKGROUND, seed=3)
    np.testing.assert_array_equal(values, again)
    assert not np.array_equal(values, shapley(curved, X, BACKGROUND, seed=4)[0])
    monkeypatch.setattr("battery_core.evaluation.explain.shapley._BATCH_ROWS", 16)  # two rows a piece
    pieces, piece_errors = shapley(curved, X, BACKGROUND, seed=3)
    np.testing.assert_allclose(pieces, values, atol=1e-12)
    np.testing.assert_allclose(piece_errors, errors, atol=1e-12)


def test_one_forward_pass_a_step_and_none_for_a_feature_that_never_differs() -> None:
    asked: list[int] = []

    def model(x: Array) -> Array:
        asked.append(len(x))
        return curved(x)

    x, background = X.copy(), BACKGROUND.copy()
    x[:, 2] = background[:, 2] = 1.5
    values, _ = shapley(model, x, background)
    assert asked == [4, 56, 56, 56, 56, 7]  # background, then 2 walks x 4 starts x 7 rows, then the rows themselves
    assert (values[:, 2] == 0.0).all()


@pytest.mark.parametrize("rows", [np.empty((0, 6)), BACKGROUND[:1]])
def test_nothing_to_explain_is_nothing(rows: Any) -> None:
    values, _ = shapley(curved, rows, BACKGROUND[:1])
    assert values.shape == rows.shape
    assert (values == 0.0).all()
