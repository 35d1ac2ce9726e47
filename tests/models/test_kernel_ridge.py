"""Kernel ridge regression loadedst the same solution found another way, and what it promises beyond it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import cho_factor, cho_solve
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern

from battery_core.errors import DataError, SettingsError, TrainingError
from battery_core.models.kernel_ridge import WEIGHTS_FILE, KernelRidgeModel, spread_over_cells
from battery_core.models.registry import MODELS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
Y = 0.9 + 0.05 * np.tanh(X[:, :1] + X[:, 1:2] ** 2) + 0.002 * RNG.normal(size=(300, 1))
CELLS = [f"cell {i // 30}" for i in range(300)]
TRAIN, VAL = slice(0, 200), slice(200, None)


def fitted(**params: Any) -> KernelRidgeModel:
    given = {"clip_quantile": 0.0, "alphas": [0.02], **params}
    return KernelRidgeModel(**given).fit(
        X[TRAIN], Y[TRAIN], X[VAL], Y[VAL], train_cells=CELLS[TRAIN], val_cells=CELLS[VAL]
    )


def test_predictions_are_those_of_the_textbook_kernels() -> None:
    model = fitted(length_scales=[1.3], alphas=[0.01], linear=0.2)
    # a Matern kernel over all features at once: its length grows with the square root of their number
    kernel = Matern(1.3 * 2.0, nu=2.5) + ConstantKernel(0.2 / 4) * DotProduct(sigma_0=0.0) + ConstantKernel(1.0)
    offset, spread = Y[TRAIN].mean(), Y[TRAIN].std()
    factor = cho_factor(kernel(X[TRAIN]) + 0.01 * np.eye(200))
    seen = np.clip(X[VAL], X[TRAIN].min(axis=0), X[TRAIN].max(axis=0))
    expected = offset + spread * kernel(seen, X[TRAIN]) @ cho_solve(factor, (Y[TRAIN] - offset) / spread)
    np.testing.assert_allclose(model.predict(X[VAL]), expected, rtol=1e-9)


def test_validation_cells_choose_the_length_scale_and_alpha() -> None:
    pairs = [(scale, alpha) for scale in (0.05, 1.0, 50.0) for alpha in (0.02, 5.0)]
    model = fitted(length_scales=[0.05, 1.0, 50.0], alphas=[0.02, 5.0])
    alone = [fitted(length_scales=[scale], alphas=[alpha]) for scale, alpha in pairs]
    rows = np.array(CELLS[VAL])
    errors = []
    for one in alone:
        relative = np.abs(one.predict(X[VAL]) / Y[VAL] - 1)[:, 0] * 100
        errors.append(np.mean([relative[rows == name].mean() for name in np.unique(rows)]))
    assert model.history["val_mape"] == pytest.approx(errors)
    best = int(np.argmin(errors))
    assert pairs[best] == (model.length_scale, model.alpha) == (1.0, 0.02)
    assert list(zip(model.history["length_scale"], model.history["alpha"], strict=True)) == pairs
    assert np.array_equal(model.predict(X), alone[best].predict(X))


def test_a_solution_that_is_not_finite_is_never_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    solve = KernelRidgeModel._solve

    def first_is_broken(self, wanted):
        for i, (pair, weights) in enumerate(solve(self, wanted)):
            yield pair, np.full_like(weights, np.nan) if i == 0 else weights

    monkeypatch.setattr(KernelRidgeModel, "_solve", first_is_broken)
    model = fitted(length_scales=[1.0, 50.0], alphas=[0.02])
    assert np.isnan(model.history["val_mape"]).tolist() == [True, False]
    assert model.length_scale == 50.0


def test_it_learns_what_there_is_to_learn() -> None:
    """The labels' noise is 0.002; the mean alone is off by 0.03."""
    error = np.abs(fitted().predict(X[VAL]) - Y[VAL])
    assert error.mean() < 0.005 < 0.025 < np.abs(Y[VAL] - Y[TRAIN].mean()).mean()


def test_every_cell_gives_the_same_number_of_landmarks() -> None:
    cells = ["long"] * 1000 + ["short"] * 10 + ["middle"] * 100
    chosen = np.array(cells)[spread_over_cells(cells, 60)]
    assert {name: int((chosen == name).sum()) for name in set(cells)} == {"long": 20, "short": 10, "middle": 20}
    rows = spread_over_cells(["long"] * 1000, 5)
    assert rows.tolist() == [0, 250, 500, 749, 999]  # even over the life, both ends included
    assert fitted(n_landmarks=20)._landmarks.shape == (14, 4)  # 7 training cells, two each


def test_a_feature_far_outside_training_changes_nothing_beyond_the_limits() -> None:
    model = fitted(clip_quantile=0.01)
    row = X[VAL][:1].copy()
    row[0, 2] = 50.0
    far = row.copy()
    far[0, 2] = 5000.0
    assert np.array_equal(model.predict(row), model.predict(far))
    usual = np.quantile(X[TRAIN, 2], 0.99)  # the limit, measured on the training rows
    row[0, 2] = usual
    assert model.predict(row) == pytest.approx(model.predict(far), rel=1e-12)


def test_without_validation_cells_the_first_length_scale_stays() -> None:
    model = KernelRidgeModel(length_scales=[2.0, 1.0]).fit(X, Y, train_cells=CELLS)
    assert (model.length_scale, model.alpha, model.history) == (2.0, model.settings.alphas[0], {})


def test_long_tables_are_predicted_in_parts() -> None:
    model = fitted()
    many = np.tile(X, (30, 1))
    np.testing.assert_allclose(model.predict(many), np.tile(model.predict(X), (30, 1)), rtol=1e-12)
    assert model.predict(X[:0]).shape == (0, 1)


def test_several_targets() -> None:
    both = KernelRidgeModel(clip_quantile=0.0).fit(X[TRAIN], np.hstack([Y, 2 * Y])[TRAIN], train_cells=CELLS[TRAIN])
    assert both.predict(X[VAL]).shape == (100, 2)
    np.testing.assert_allclose(both.predict(X)[:, 1], 2 * both.predict(X)[:, 0], rtol=1e-9)


def test_a_saved_model_predicts_the_same(tmp_path: Path) -> None:
    model = fitted(n_landmarks=100)
    model.save(tmp_path)
    loaded = MODELS["kernel_ridge"].load_regressor().load(tmp_path)
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert (loaded.settings, loaded.history) == (model.settings, model.history)
    assert (loaded.length_scale, loaded.alpha) == (model.length_scale, model.alpha)
    assert json.loads((tmp_path / "model.json").read_text())["kind"] == "KernelRidgeModel"
    (tmp_path / WEIGHTS_FILE).unlink()
    with pytest.raises(DataError, match=r"expected 'kernel_ridge\.npz' in it, found none - save the model again"):
        KernelRidgeModel.load(tmp_path)


def test_misuse() -> None:
    with pytest.raises(SettingsError, match="length_scale"):
        KernelRidgeModel(length_scales=[1.0, 0.0])
    with pytest.raises(SettingsError, match="alphas"):
        KernelRidgeModel(alphas=[-1.0])
    with pytest.raises(TrainingError, match=r"not fitted: call fit"):
        KernelRidgeModel().predict(X)
    with pytest.raises(TrainingError, match=r"nothing to save"):
        KernelRidgeModel().save("nowhere")
    with pytest.raises(DataError, match=r"train rows: expected features \(N, F\).*\(300, 4\), \(300, 1\) and 2"):
        KernelRidgeModel().fit(X, Y, train_cells=CELLS[:2])
    with pytest.raises(DataError, match="train rows: expected at least one, got none"):
        KernelRidgeModel().fit(X[:0], Y[:0])
    with pytest.raises(DataError, match="train rows: expected finite numbers, found NaN"):
        KernelRidgeModel().fit(np.where(X > 2, np.nan, X), Y, train_cells=CELLS)
    with pytest.raises(DataError, match=r"KernelRidgeModel: expected 4 features, got 3"):
        fitted().predict(X[:, :3])
