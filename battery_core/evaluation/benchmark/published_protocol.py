"""The protocol of the published tables on XJTU, TJU and HUST, which has a leak; only for comparison with those numbers.

It scales each cell, test cells too, by its minimum and maximum over its whole life, the cycle number included. The
scaled cycle number is the fraction of life. It also removes rows more than three standard deviations from the mean,
including rows of test cells with such a label. No model for production may be evaluated this way.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.data.samples.from_rows import make_samples
from battery_core.data.tables.roles import CHARGE_STATISTICS
from battery_core.errors import TrainingError
from battery_core.evaluation.benchmark.aggregate import errors_by_cell
from battery_core.seeding import derive_seed
from battery_core.tracking.local_tracker import LocalTracker
from battery_core.training.fitting import fit_model

PUBLISHED: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    source: {group: dict(zip(("PINN", "MLP", "CNN"), figures, strict=True)) for group, figures in groups.items()}
    for source, groups in {
        "xjtu": {
            "2C": (0.70, 2.60, 2.70), "3C": (1.13, 2.75, 2.98), "R2.5": (0.86, 2.11, 1.77), "R3": (0.71, 2.00, 1.50),
            "RW": (1.05, 1.83, 3.50), "Sim_satellite": (0.63, 2.04, 1.49),
        },
        "tju": {"NCA": (1.64, 2.06, 1.98), "NCM": (1.19, 1.49, 1.44), "NCM+NCA": (0.80, 1.50, 1.24)},
        "hust": {"HUST": (0.78, 0.80, 0.74)},
    }.items()
}  # fmt: skip
"""MAPE in %, mean over test cells, 10 runs: Wang, Zhai, Zhao, Di, Chen, Nature Communications 15, 4332 (2024)."""

ONLY_THE_LEAK = "only the leak"
LEAKING_MODELS = {"mlp": "mlp", "lgbm": "lgbm", ONLY_THE_LEAK: "lgbm"}
"""Name in the table and model that is fitted; the last has the scaled cycle number as its only feature."""
_CYCLE = "cycle_count"
_COLUMNS = [_CYCLE, *CHARGE_STATISTICS]
_MAX_DEVIATIONS = 3.0  # standard deviations


def published_features(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows that the published protocol keeps, and their features scaled over the whole life of each cell.

    Args:
        rows: labelled rows with the charge statistics, cycle_count and capacity_Ah.

    Returns:
        The rows that are left, and 17 features in [-1, 1], shape (N, 17), with their index; a column that never changes
        in a cell is 0.
    """
    measured = rows[[*_COLUMNS, "capacity_Ah"]].astype(float)
    cells = measured.groupby(rows["cell_id"])
    spread = cells.transform("std").replace(0.0, np.inf)
    kept = rows[(((measured - cells.transform("mean")) / spread).abs() <= _MAX_DEVIATIONS).all(axis=1)]
    left = kept[_COLUMNS].astype(float)
    lives = left.groupby(kept["cell_id"])
    low, high = lives.transform("min"), lives.transform("max")
    return kept, (2 * (left - low) / (high - low).replace(0.0, np.inf) - 1).where(high > low, 0.0)


def fit_as_published(rows: pd.DataFrame, model: str, settings: Mapping[str, Any], seed: int) -> pd.DataFrame:
    """Fit one model on the training cells of one group as published, and return its errors on the test cells.

    Args:
        rows: labelled rows of one group with their subset.
        model: one of ``LEAKING_MODELS``.
        settings: sections as plain values.
        seed: of the fit.

    Raises:
        TrainingError: the training ended without usable weights.
    """
    kept, features = published_features(rows)
    if model == ONLY_THE_LEAK:
        features = features[[_CYCLE]]
    samples = make_samples(features, kept["soh"], kept)
    train, val, test = (samples.take((kept["subset"] == subset).to_numpy()) for subset in ("train", "val", "test"))
    with tempfile.TemporaryDirectory() as folder:
        tracker = LocalTracker(folder, use_tensorboard=False)
        tracker.start_run(model)
        fitted = fit_model(LEAKING_MODELS[model], train, val, settings, derive_seed(seed, model) % 2**31, tracker)
        tracker.end_run()
    if fitted.problem:
        raise TrainingError(f"published protocol, {model}: {fitted.problem}")
    predict: Callable[[Any], npt.NDArray[np.float64]] = fitted.model.predict
    prediction = predict(test.x)[:, 0] * fitted.target.scale + fitted.target.mean
    return errors_by_cell(kept[kept["subset"] == "test"], prediction)
