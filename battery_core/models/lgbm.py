"""Boosted trees: features of one check-up to its SOH."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from battery_core.errors import DataError, TrainingError
from battery_core.from_config import from_config
from battery_core.models.base import ArrayRegressor, check_features, read_metadata, write_metadata
from battery_core.models.settings import LGBMSettings

Array = npt.NDArray[Any]


class LGBMModel(ArrayRegressor):
    """Fit LightGBM with early stopping on validation cells; one booster per target, NaN as missing.

    Args:
        params: settings by name, see ``LGBMSettings``.

    Raises:
        SettingsError: a wrong name or value.

    Example:
        >>> x = np.arange(200.0).reshape(-1, 1)
        >>> model = LGBMModel(n_estimators=20).fit(x[::2], 1 - x[::2] / 1000, x[1::2], 1 - x[1::2] / 1000)
        >>> model.predict(x[:3]).shape
        (3, 1)
    """

    precision = "float32, sums float64"  # of gradients

    def __init__(self, **params: Any) -> None:
        self.settings = from_config(LGBMSettings, params, "lgbm")
        self.boosters: list[lgb.Booster] = []
        self.input_dim = 0
        self.history: dict[str, list[float]] = {}
        """Validation loss after each tree: ``val_l2``, or with several targets ``val_l2_0``, ``val_l2_1``..."""

    @property
    def params(self) -> dict[str, Any]:
        """Return the parameters as ``lightgbm.train`` takes them."""
        not_lightgbm = {"n_estimators", "early_stopping_rounds", "categorical_features"}
        bagging = {"bagging_freq": 1} if self.settings.subsample < 1 else {}
        return self.settings.model_dump(exclude=not_lightgbm) | bagging | {"verbosity": -1}

    @property
    def best_iterations(self) -> list[int]:
        """Return the number of trees that each booster predicts with."""
        return [
            booster.best_iteration if booster.best_iteration > 0 else booster.num_trees() for booster in self.boosters
        ]

    @property
    def best_iteration(self) -> int:
        """Return the number of trees of the largest booster; 0 before the fit."""
        return max(self.best_iterations, default=0)

    @property
    def summary(self) -> Mapping[str, float]:
        """Return the number of trees as ``best_epoch``."""
        return {"best_epoch": self.best_iteration}

    def fit(
        self,
        X_train: Array,
        y_train: Array,
        X_val: Array | None = None,
        y_val: Array | None = None,
        *,
        train_cells: Sequence[str] = (),
        val_cells: Sequence[str] = (),
    ) -> Self:
        """Fit boosters; with validation rows, keep the trees up to the best validation loss.

        Args:
            X_train: shape (N, F).
            y_train: shape (N,) or (N, D); a row whose label is NaN is left out for that target.
            X_val: shape (M, F), of other cells.
            y_val: shape (M,) or (M, D).
            train_cells: not used; trees weigh rows.
            val_cells: not used.

        Raises:
            DataError: lengths or widths differ, or a target has no label.
        """
        x, y = _rows(X_train, y_train, "train")
        val = None if X_val is None or y_val is None or len(X_val) == 0 else _rows(X_val, y_val, "val")
        if val is not None:
            check_features(val[0], x.shape[1], "LGBMModel validation rows")
        self.input_dim, self.boosters, self.history = x.shape[1], [], {}
        for target in range(y.shape[1]):
            losses = self._boost(x, y[:, target], None if val is None else (val[0], val[1][:, target]))
            suffix = f"_{target}" if y.shape[1] > 1 else ""
            self.history |= {f"val_{metric}{suffix}": values for metric, values in losses.items()}
        return self

    def predict(self, x: Array) -> npt.NDArray[np.float64]:
        """Return estimates, shape (N, D), of rows, shape (N, F).

        Raises:
            TrainingError: the model is not fitted.
            DataError: another number of features than it was fitted on.
        """
        if not self.boosters:
            raise TrainingError(
                "LGBMModel is not fitted: call fit(X_train, y_train, X_val, y_val) or load(folder) first"
            )
        check_features(np.asarray(x), self.input_dim, "LGBMModel")
        if len(x) == 0:
            return np.empty((0, len(self.boosters)))
        pairs = zip(self.boosters, self.best_iterations, strict=True)
        return np.column_stack([booster.predict(x, num_iteration=best) for booster, best in pairs])

    def save(self, folder: Path | str) -> None:
        """Write each booster as LightGBM text, up to its best tree, and the settings as JSON."""
        folder = Path(folder)
        metadata = {
            "kind": "LGBMModel",
            "input_dim": self.input_dim,
            "n_targets": len(self.boosters),
            "history": self.history,
        }
        write_metadata(folder, metadata | {"settings": self.settings.model_dump(mode="json")})
        for i, (booster, best) in enumerate(zip(self.boosters, self.best_iterations, strict=True)):
            booster.save_model(folder / f"target_{i}.txt", num_iteration=best)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what ``save`` wrote.

        Raises:
            DataError: the folder has no such model.
        """
        metadata = read_metadata(folder, "LGBMModel")
        model = cls(**metadata["settings"])
        model.input_dim, model.history = metadata["input_dim"], metadata["history"]
        files = [Path(folder) / f"target_{i}.txt" for i in range(metadata["n_targets"])]
        for file in files:
            if not file.is_file():
                raise DataError(
                    f"model folder '{folder}': expected '{file.name}' in it, found none - save the model again"
                )
        model.boosters = [lgb.Booster(model_file=file) for file in files]
        return model

    def _boost(self, x: Array, y: Array, val: tuple[Array, Array] | None) -> dict[str, list[float]]:
        """Fit one booster for one target; return its validation loss after each tree."""
        rounds, categorical = self.settings.early_stopping_rounds, list(self.settings.categorical_features)
        train = lgb.Dataset(*_labelled(x, y, "train"), categorical_feature=categorical, params={"verbosity": -1})
        losses: dict[str, dict[str, list[float]]] = {}
        callbacks = []
        if val is not None:
            callbacks.append(lgb.record_evaluation(losses))
            if rounds is not None:
                callbacks.append(lgb.early_stopping(rounds, verbose=False))
        valid = [] if val is None else [train.create_valid(*_labelled(*val, "val"))]
        booster = lgb.train(
            self.params,
            train,
            self.settings.n_estimators,
            valid_sets=valid,
            valid_names=["val"] * len(valid),
            callbacks=callbacks,
        )
        self.boosters.append(booster)
        return losses.get("val", {})


def _rows(x: Array, y: Array, subset: str) -> tuple[Array, Array]:
    """Return features (N, F) and labels (N, D), checked against each other."""
    features, labels = np.asarray(x), np.asarray(y)
    labels = np.asfortranarray(labels.reshape(len(labels), -1))  # (N,) -> (N, 1); a target is contiguous
    if features.ndim != 2 or len(features) != len(labels):
        raise DataError(
            f"LGBMModel {subset} rows: expected features (N, F) and labels (N, D), "
            f"got {features.shape} and {labels.shape}"
        )
    return features, labels


def _labelled(x: Array, y: Array, subset: str) -> tuple[Array, Array]:
    """Return the rows that have a label."""
    has_label = ~np.isnan(y)
    if not has_label.any():
        raise DataError(f"LGBMModel {subset} rows: none of {len(y)} rows has a label - is the split empty?")
    return (x, y) if has_label.all() else (x[has_label], y[has_label])
