"""Kernel ridge regression: the SOH of a check-up from its distance to training check-ups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from battery_core.cell_errors import as_worst, cell_mape, mean_over_cells
from battery_core.errors import DataError, TrainingError
from battery_core.from_config import from_config
from battery_core.models.base import ArrayRegressor, check_features, read_metadata, write_metadata
from battery_core.models.settings import KernelRidgeSettings

Array = npt.NDArray[np.float64]
_Solutions = Mapping[tuple[float, float], Array]  # (length scale, alpha) to the weights of the landmarks
WEIGHTS_FILE = "kernel_ridge.npz"
_ROWS_AT_ONCE = 4096  # of a prediction: the kernel matrix stays below 100 MB


class KernelRidgeModel(ArrayRegressor):
    """Fit kernel ridge regression on ``n_landmarks`` training check-ups, the same number of each cell.

    The kernel is a Matern kernel of smoothness 5/2, plus a linear kernel for extrapolation, plus a constant. Length
    scale and ridge parameter alpha are the pair with the smallest error on validation cells. The fit has a closed form:
    no epochs, no random numbers. Features must be scaled; they are clipped to quantiles of the training rows.

    Args:
        params: settings by name, see ``KernelRidgeSettings``.

    Raises:
        SettingsError: a wrong name or value.

    Reference:
        Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006: eq. 2.25 (mean), 4.17 (kernel).

    Example:
        >>> x = np.linspace(0, 3, 60).reshape(-1, 1)
        >>> model = KernelRidgeModel(length_scales=[0.5]).fit(x, 1 - 0.1 * np.sin(x), train_cells=["A"] * 60)
        >>> float(np.abs(model.predict(x) - (1 - 0.1 * np.sin(x))).max()) < 0.005
        True
    """

    def __init__(self, **params: Any) -> None:
        self.settings = from_config(KernelRidgeSettings, params, "kernel_ridge")
        self.length_scale, self.alpha = self.settings.length_scales[0], self.settings.alphas[0]
        self.history: dict[str, list[float]] = {}
        """``length_scale``, ``alpha`` and ``val_mape`` in %, mean over validation cells, of each pair tried."""
        self._landmarks: Array | None = None  # (M, F), clipped
        self._weights: Array = np.empty((0, 1))  # (M, D)
        self._limits: Array = np.empty((2, 0))  # lowest and highest value of each feature
        self._offset: Array = np.zeros(1)

    @property
    def summary(self) -> Mapping[str, float]:
        """Return the chosen length scale and alpha."""
        return {"length_scale": self.length_scale, "alpha": self.alpha}

    def fit(
        self,
        X_train: npt.ArrayLike,
        y_train: npt.ArrayLike,
        X_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
        *,
        train_cells: Sequence[str] = (),
        val_cells: Sequence[str] = (),
    ) -> Self:
        """Solve for each pair of length scale and alpha; without validation cells the first pair stays.

        Args:
            X_train: shape (N, F), scaled.
            y_train: shape (N,) or (N, D).
            X_val: shape (M, F), of other cells.
            y_val: shape (M,) or (M, D).
            train_cells: the cell of each training row; each cell gives the same number of landmarks.
            val_cells: the cell of each validation row; each cell counts the same.

        Raises:
            DataError: lengths or widths differ, there is no row, or a value is not finite.
        """
        x, y = _rows(X_train, y_train, train_cells, "train")
        if len(x) == 0:
            raise DataError("KernelRidgeModel train rows: expected at least one, got none - is the split empty?")
        clip = self.settings.clip_quantile
        self._limits = np.quantile(x, [clip, 1 - clip], axis=0)
        chosen = spread_over_cells(train_cells, self.settings.n_landmarks)
        self._landmarks = np.clip(x[chosen], *self._limits)
        self._offset, spread = y[chosen].mean(axis=0), float(y[chosen].std()) or 1.0
        targets = (y[chosen] - self._offset) / spread
        solutions = {pair: spread * weights for pair, weights in self._solve(targets)}
        self._set_solution(next(iter(solutions)), solutions)
        self.history = {}
        if X_val is not None and y_val is not None and len(val_cells):
            self._choose(solutions, *_rows(X_val, y_val, val_cells, "validation"), val_cells)
        return self

    def predict(self, x: npt.ArrayLike) -> Array:
        """Return estimates, shape (N, D), of rows, shape (N, F).

        Raises:
            TrainingError: the model is not fitted.
            DataError: another number of features than it was fitted on.
        """
        if self._landmarks is None:
            raise TrainingError(
                "KernelRidgeModel is not fitted: call fit(X_train, y_train, train_cells=...) or load(folder) first"
            )
        rows = np.asarray(x, dtype=np.float64)
        check_features(rows, self._landmarks.shape[1], "KernelRidgeModel")
        out = np.empty((len(rows), self._weights.shape[1]))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            chunk = np.clip(rows[start : start + _ROWS_AT_ONCE], *self._limits)
            out[start : start + _ROWS_AT_ONCE] = self._kernel(chunk, self._landmarks, self.length_scale) @ self._weights
        return out + self._offset

    def save(self, folder: Path | str) -> None:
        """Write landmarks and weights as plain arrays, the settings as JSON.

        Raises:
            TrainingError: the model is not fitted.
        """
        if self._landmarks is None:
            raise TrainingError("KernelRidgeModel is not fitted: there is nothing to save - call fit first")
        metadata = {
            "kind": "KernelRidgeModel",
            "length_scale": self.length_scale,
            "alpha": self.alpha,
            "history": self.history,
        }
        write_metadata(Path(folder), metadata | {"settings": self.settings.model_dump(mode="json")})
        arrays = {
            "landmarks": self._landmarks,
            "weights": self._weights,
            "limits": self._limits,
            "offset": self._offset,
        }
        np.savez(Path(folder) / WEIGHTS_FILE, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, folder: Path | str) -> Self:
        """Read what ``save`` wrote.

        Raises:
            DataError: the folder has no such model.
        """
        metadata = read_metadata(folder, "KernelRidgeModel")
        file = Path(folder) / WEIGHTS_FILE
        if not file.is_file():
            raise DataError(
                f"model folder '{folder}': expected '{WEIGHTS_FILE}' in it, found none - save the model again"
            )
        model = cls(**metadata["settings"])
        model.length_scale, model.alpha, model.history = (
            metadata["length_scale"],
            metadata["alpha"],
            metadata["history"],
        )
        with np.load(file, allow_pickle=False) as arrays:
            model._landmarks, model._weights = arrays["landmarks"], arrays["weights"]
            model._limits, model._offset = arrays["limits"], arrays["offset"]
        return model

    def _solve(self, targets: Array) -> Iterator[tuple[tuple[float, float], npt.NDArray[Any]]]:
        """Yield the weights of the landmarks for each pair of length scale and alpha."""
        assert self._landmarks is not None
        for scale in self.settings.length_scales:
            kernel = self._kernel(self._landmarks, self._landmarks, scale)
            for alpha in self.settings.alphas:
                weights: npt.NDArray[Any] = np.linalg.solve(kernel + alpha * np.eye(len(kernel)), targets)
                yield (scale, alpha), weights

    def _choose(self, solutions: _Solutions, x: Array, y: Array, cells: Sequence[str]) -> None:
        """Keep the pair with the smallest mean error per validation cell."""
        some = spread_over_cells(cells, self.settings.n_landmarks)
        cell = np.unique(np.asarray(cells)[some], return_inverse=True)[1]
        errors = {}
        for pair in solutions:
            self._set_solution(pair, solutions)
            errors[pair] = mean_over_cells(cell_mape(cell, y[some], self.predict(x[some])))
        self.history = {
            "length_scale": [scale for scale, _ in errors],
            "alpha": [alpha for _, alpha in errors],
            "val_mape": list(errors.values()),
        }
        self._set_solution(min(errors, key=lambda pair: as_worst(errors[pair])), solutions)

    def _set_solution(self, pair: tuple[float, float], solutions: _Solutions) -> None:
        (self.length_scale, self.alpha), self._weights = pair, solutions[pair]

    def _kernel(self, a: Array, b: Array, scale: float) -> Array:
        """Return the kernel matrix (A, B) of rows (A, F) and (B, F); length scale 1 is one spread of every feature."""
        inner, width = a @ b.T, a.shape[1]
        square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * inner
        distance = np.sqrt(np.maximum(square, 0.0) * (5 / (width * scale**2)))
        out: Array = (1 + distance + distance**2 / 3) * np.exp(-distance) + self.settings.linear * inner / width + 1.0
        return out


def spread_over_cells(cells: Sequence[str], n: int) -> npt.NDArray[np.int64]:
    """Return positions of at most about ``n`` rows: the same number of every cell, evenly over its rows.

    Example:
        >>> spread_over_cells(["A"] * 5 + ["B"] * 2, 6).tolist()
        [0, 2, 4, 5, 6]
    """
    names = np.asarray(cells)
    positions = [np.flatnonzero(names == name) for name in np.unique(names)]
    each = max(1, n // max(1, len(positions)))
    picked = [m if len(m) <= each else m[np.linspace(0, len(m) - 1, each).round().astype(int)] for m in positions]
    return np.concatenate(picked) if picked else np.empty(0, dtype=np.int64)


def _rows(x: npt.ArrayLike, y: npt.ArrayLike, cells: Sequence[str], subset: str) -> tuple[Array, Array]:
    """Return features (N, F) and labels (N, D), checked against each other."""
    features, labels = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    labels = labels[:, None] if labels.ndim == 1 else labels  # (N,) -> (N, 1)
    if features.ndim != 2 or not len(features) == len(labels) == len(cells):
        raise DataError(
            f"KernelRidgeModel {subset} rows: expected features (N, F), labels (N, D) and N cells, "
            f"got {features.shape}, {labels.shape} and {len(cells)}"
        )
    if not (np.isfinite(features).all() and np.isfinite(labels).all()):
        raise DataError(
            f"KernelRidgeModel {subset} rows: expected finite numbers, found NaN or infinity - impute and scale first"
        )
    return features, labels
