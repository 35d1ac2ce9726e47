"""Baselines that a model must beat, fitted on training cells only; and the leak probe.

Every baseline takes the training rows and the test rows (columns cell_id, checkup_index, soh and the canonical
checkup columns) and returns one SOH prediction for each test row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

Prediction = npt.NDArray[np.float64]
Baseline: TypeAlias = Callable[[pd.DataFrame, pd.DataFrame], Prediction]


def train_mean(train: pd.DataFrame, test: pd.DataFrame) -> Prediction:
    """Return the mean SOH of the training rows for every row.

    Example:
        >>> import pandas as pd
        >>> train_mean(pd.DataFrame({"soh": [1.0, 0.8]}), pd.DataFrame({"soh": [0.5]}))
        array([0.9])
    """
    return np.full(len(test), float(train["soh"].mean()))


def persistence(train: pd.DataFrame, test: pd.DataFrame) -> Prediction:
    """Return the SOH measured at the previous check-up; at the first one the training mean of first check-ups.

    It needs a measured capacity at every earlier check-up, which is not available in the field.
    """
    first = train.loc[train.groupby("cell_id")["checkup_index"].idxmin(), "soh"].mean()
    previous = test.sort_values("checkup_index").groupby("cell_id")["soh"].shift(1)
    return previous.reindex(test.index).fillna(first).to_numpy(dtype=float)


def usage_column(train: pd.DataFrame) -> str:
    """Return the usage column of a source: charge throughput, else the cycle count, else the check-up index."""
    for column in ("throughput_Ah", "cycle_count"):
        if column in train and train[column].notna().any():
            return column
    return "checkup_index"


def linear_throughput(train: pd.DataFrame, test: pd.DataFrame) -> Prediction:
    """Return a straight line of SOH over charge throughput (over cycles where throughput is not measured)."""
    column = usage_column(train)
    measured = train[column].notna()
    slope, intercept = np.polyfit(
        train.loc[measured, column].astype(float), train.loc[measured, "soh"].astype(float), 1
    )
    usage = test[column].astype(float).fillna(float(train[column].median()))
    return np.asarray(intercept + slope * usage, dtype=float)


def life_fraction(rows: pd.DataFrame) -> Prediction:
    """Return check-up over the last check-up of the cell, 0 to 1: available only after its life, so a leak."""
    last = rows.groupby("cell_id")["checkup_index"].transform("max").clip(lower=1)
    return (rows["checkup_index"] / last).to_numpy(dtype=float)


def leak_probe(train: pd.DataFrame, test: pd.DataFrame, bins: int = 50) -> Prediction:
    """Return the mean training SOH at the same fraction of life: the error of an evaluation with a leak."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    bin_of_row = np.clip(np.digitize(life_fraction(train), edges) - 1, 0, bins - 1)
    means = train["soh"].astype(float).groupby(bin_of_row).mean()
    filled = centres[np.asarray(means.index, dtype=int)]
    return np.asarray(np.interp(life_fraction(test), filled, means.to_numpy(dtype=float)), dtype=float)


BASELINES: dict[str, Baseline] = {
    "train_mean": train_mean,
    "linear_throughput": linear_throughput,
    "persistence": persistence,
}
"""Baselines by name; the leak probe is separate because it uses later check-ups of the cell."""

LEAK_PROBE = "leak_probe"
