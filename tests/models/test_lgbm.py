"""LightGBM against a bare lightgbm.train, and what it promises beyond it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest

from battery_core.errors import DataError, SettingsError, TrainingError
from battery_core.models.lgbm import LGBMModel
from battery_core.models.registry import MODELS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(600, 5)).astype(np.float32)
X[::7, 2] = np.nan
Y = (0.9 + 0.05 * np.tanh(X[:, :1]) + 0.01 * RNG.normal(size=(600, 1))).astype(np.float32)
TRAIN, VAL = slice(0, 400), slice(400, None)


def fitted(y: Any = Y, **params: Any) -> LGBMModel:
    return LGBMModel(num_threads=1, **params).fit(X[TRAIN], y[TRAIN], X[VAL], y[VAL])


def test_predictions_are_those_of_a_bare_lightgbm_train() -> None:
    model = fitted()
    train = lgb.Dataset(X[TRAIN], Y[TRAIN, 0])
    valid = train.create_valid(X[VAL], Y[VAL, 0])
    stop = lgb.early_stopping(50, verbose=False)
    bare = lgb.train(model.params, train, 500, valid_sets=[valid], callbacks=[stop])
    assert np.array_equal(model.predict(X)[:, 0], np.asarray(bare.predict(X)))
    assert model.best_iteration == bare.best_iteration < 500


def test_early_stopping_keeps_the_best_trees() -> None:
    model = fitted(early_stopping_rounds=10)
    losses = model.history["val_l2"]
    assert model.best_iteration == int(np.argmin(losses)) + 1
    assert len(losses) == model.best_iteration + 10
    assert np.mean((model.predict(X[VAL]) - Y[VAL]) ** 2) == pytest.approx(min(losses), rel=1e-6)


def test_without_validation_all_trees_are_kept() -> None:
    model = LGBMModel(n_estimators=12).fit(X, Y)
    assert model.best_iterations == [12]
    assert model.history == {}


def test_several_targets_and_missing_labels() -> None:
    y = np.hstack([Y, 2 * Y])
    y[::3, 1] = np.nan
    model = fitted(y, n_estimators=30)
    assert model.predict(X).shape == (600, 2)
    assert set(model.history) == {"val_l2_0", "val_l2_1"}
    assert np.array_equal(model.predict(X)[:, 0], fitted(n_estimators=30).predict(X)[:, 0])
    assert np.corrcoef(model.predict(X).T)[0, 1] > 0.99


def test_categories_are_not_ordered_numbers() -> None:
    code = RNG.integers(0, 40, 800)
    soh = np.where(code % 2 == 0, 0.8, 1.0)  # neighbouring codes differ: as numbers they take many cuts
    one_split: dict[str, Any] = {
        "n_estimators": 1,
        "num_leaves": 2,
        "learning_rate": 1.0,
        "early_stopping_rounds": None,
    }
    x = code.reshape(-1, 1).astype(np.float32)
    as_number = LGBMModel(**one_split).fit(x, soh).predict(x)[:, 0]
    as_category = LGBMModel(**one_split, categorical_features=(0,)).fit(x, soh).predict(x)[:, 0]
    assert np.abs(as_category - soh).mean() < 0.3 * np.abs(as_number - soh).mean()


def test_save_and_load_give_the_same_predictions(tmp_path: Path) -> None:
    model = fitted(np.hstack([Y, 2 * Y]), categorical_features=(), learning_rate=0.1)
    model.save(tmp_path / "model")
    loaded = MODELS["lgbm"].load_regressor().load(tmp_path / "model")
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert loaded.settings == model.settings
    assert loaded.history == model.history
    assert loaded.best_iterations == model.best_iterations
    assert {f.name for f in (tmp_path / "model").iterdir()} == {"model.json", "target_0.txt", "target_1.txt"}


def test_no_rows_no_estimates() -> None:
    assert fitted(n_estimators=2).predict(X[:0]).shape == (0, 1)


def test_wrong_setting_is_named() -> None:
    with pytest.raises(SettingsError, match=r"unknown lgbm setting 'n_estimator': did you mean 'n_estimators'"):
        LGBMModel(n_estimator=5)


def test_not_fitted_is_an_error() -> None:
    with pytest.raises(TrainingError, match=r"LGBMModel is not fitted: call fit"):
        LGBMModel().predict(X)


def test_wrong_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train rows: expected features \(N, F\) .* got \(600, 5\) and \(3, 1\)"):
        LGBMModel().fit(X, Y[:3])
    with pytest.raises(DataError, match=r"LGBMModel validation rows: expected 5 features, got 4"):
        LGBMModel().fit(X, Y, X[:, :4], Y)
    with pytest.raises(DataError, match=r"LGBMModel: expected 5 features, got 4 \(shape \(600, 4\)\)"):
        fitted(n_estimators=2).predict(X[:, :4])
    with pytest.raises(DataError, match=r"val rows: none of 200 rows has a label"):
        LGBMModel().fit(X[TRAIN], Y[TRAIN], X[VAL], np.full((200, 1), np.nan))


def test_a_folder_without_the_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected 'model.json' in it, found none"):
        LGBMModel.load(tmp_path)
    fitted(n_estimators=2).save(tmp_path)
    (tmp_path / "target_0.txt").unlink()
    with pytest.raises(DataError, match=r"expected 'target_0.txt' in it, found none"):
        LGBMModel.load(tmp_path)
