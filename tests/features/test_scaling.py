"""The scaler knows training rows only, and survives constant, missing and wild values."""

import numpy as np
import pandas as pd
import pytest

from battery_core.errors import DataError
from battery_core.features.scaling import Scaler


@pytest.fixture
def x_train() -> np.ndarray:
    return np.random.default_rng(0).normal([0.0, 5.0, -3.0], [1.0, 10.0, 0.01], (200, 3))


def test_training_rows_get_zero_mean_and_unit_spread(x_train):
    z = Scaler.fit(x_train).transform(x_train)
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(z.std(axis=0), 1.0)


def test_test_rows_do_not_change_the_scaler(x_train):
    scaler = Scaler.fit(x_train, clip_quantile=0.01)
    before = scaler.to_json()
    wild = np.full((50, 3), 1e9)
    scaler.transform(wild)
    assert scaler.to_json() == before
    row = x_train[:1] * 1.1
    np.testing.assert_array_equal(scaler.transform(np.vstack([row, wild]))[:1], scaler.transform(row))


def test_constant_columns_are_centred_not_blown_up():
    x = np.column_stack([np.full(10, 0.1 + 0.2), np.zeros(10), np.arange(10.0)])
    z = Scaler.fit(x).transform(x + 1e-15)
    assert np.abs(z[:, :2]).max() < 1e-12


def test_missing_and_infinite_values_become_the_training_median(x_train):
    x = x_train.copy()
    x[0, 1], x[1, 1] = np.nan, np.inf
    scaler = Scaler.fit(x)
    assert scaler.median[1] == np.median(x_train[2:, 1])
    z = scaler.transform(np.array([[0.0, np.nan, -3.0], [0.0, -np.inf, -3.0], [0.0, scaler.median[1], -3.0]]))
    np.testing.assert_array_equal(z[0], z[2])
    np.testing.assert_array_equal(z[1], z[2])
    assert np.isfinite(z).all()


def test_limits_are_those_of_training(x_train):
    scaler = Scaler.fit(x_train, clip_quantile=0.05)
    low, high = np.quantile(x_train, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(scaler.transform(np.full((1, 3), 1e9)), [(high - scaler.mean) / scaler.std])
    np.testing.assert_allclose(scaler.transform(np.full((1, 3), -1e9)), [(low - scaler.mean) / scaler.std])


@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_saved_and_read_is_bit_for_bit_the_same(x_train, clip):
    scaler = Scaler.fit(pd.DataFrame(x_train, columns=list("abc")), clip_quantile=clip)
    again = Scaler.from_json(scaler.to_json())
    assert again.names == ("a", "b", "c")
    np.testing.assert_array_equal(again.transform(x_train), scaler.transform(x_train))


def test_histories_are_scaled_along_the_last_axis(x_train):
    history = x_train.reshape(20, 10, 3)
    np.testing.assert_allclose(
        Scaler.fit(history).transform(history).reshape(-1, 3), Scaler.fit(x_train).transform(x_train)
    )


def test_misuse_is_named(x_train):
    scaler = Scaler.fit(pd.DataFrame(x_train, columns=list("abc")))
    with pytest.raises(DataError, match="expected features a, b, c; got c, b, a"):
        scaler.transform(pd.DataFrame(x_train, columns=list("cba")))
    with pytest.raises(DataError, match="expected 3 features, got 2"):
        scaler.transform(x_train[:, :2])
    with pytest.raises(DataError, match="no training rows"):
        Scaler.fit(x_train[:0])
    with pytest.raises(DataError, match="feature 'b' has no value in any training row"):
        Scaler.fit(pd.DataFrame({"a": [1.0], "b": [np.nan]}))


def test_how_rows_lie_in_memory_changes_no_bit() -> None:
    x = np.random.default_rng(0).normal(1.0, 0.3, (5000, 7))
    by_row, by_column = Scaler.fit(np.ascontiguousarray(x)), Scaler.fit(np.asfortranarray(x))
    assert by_row.to_json() == by_column.to_json()
    assert not np.array_equal(np.ascontiguousarray(x).mean(axis=0), np.asfortranarray(x).mean(axis=0))  # NumPy's does
