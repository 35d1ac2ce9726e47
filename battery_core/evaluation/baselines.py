"""What a model has to beat, fitted on training cells only; and the leak probe, which no model may resemble.

Every baseline takes the training rows and the test rows (columns cell_id, checkup_index, soh and the canonical
checkup columns) and returns one SOH prediction for each test row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # settings check their names against BASELINES: --help must not wait for pandas
    import pandas as pd

Prediction = npt.NDArray[np.float64]
Baseline: TypeAlias = "Callable[[pd.DataFrame, pd.DataFrame], Prediction]"


def train_mean(train: pd.DataFrame, test: pd.DataFrame) -> Prediction:
    """The mean SOH of the training rows, for every row.

    Example:
        >>> import pandas as pd
        >>> train_mean(pd.DataFrame({"soh": [1.0, 0.8]}), pd.DataFrame({"soh": [0.5]}))
        array([0.9])
    """
    return np.full(len(test), float(train["soh"].mean()))


def persistence(train: pd.DataFrame, test: pd.DataFrame) -> Prediction:
    """The SOH measured at the cell's previous check-up; at its first one the training mean of first check-ups.

    It needs a measured capacity at every earlier check-up, which a model in the field does not have.
    """
    first = train.loc[train.groupby("cell_id")["checkup_index"].idxmin(), "soh"].mean()
    previous = test.sort_values("checkup_index").groupby("cell_id")["soh"].shift(1)
    return previous.reindex(test.index).fillna(first).to_numpy(dtype=float)


def usage_column(train: pd.DataFrame) -> str:
    """The measure of use a source has: charge throughput, else the cycle count, else the check-up index."""
    for column in ("throughput_Ah", "cycle_count"):
        if column in train and train[column].notna().any():
            return column
    return "checkup_index"


def linear_throughput(train: pd.DataFrame, test: pd.DataFrame) -> Prediction:
    """A straight line of SOH over charge throughput (over cycles where throughput is not measured)."""
    column = usage_column(train)
    known = train[column].notna()
    slope, intercept = np.polyfit(train.loc[known, column].astype(float), train.loc[known, "soh"].astype(float), 1)
    usage = test[column].astype(float).fillna(float(train[column].median()))
    return np.asarray(intercept + slope * usage, dtype=float)


def life_fraction(rows: pd.DataFrame) -> Prediction:
    """Check-up over the cell's last check-up, 0..1: known only after the cell's life is over, so a leak."""
    last = rows.groupby("cell_id")["checkup_index"].transform("max").clip(lower=1)
    return (rows["checkup_index"] / last).to_numpy(dtype=float)


def leak_probe(train: pd.DataFrame, test: pd.DataFrame, bins: int = 50) -> Prediction:
    """The mean training SOH at the same fraction of life: what an evaluation that leaks gets for nothing."""
    edges = np.linspace(0.0, 1.0, bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    place = np.clip(np.digitize(life_fraction(train), edges) - 1, 0, bins - 1)
    means = train["soh"].astype(float).groupby(place).mean()
    known = centres[np.asarray(means.index, dtype=int)]
    return np.asarray(np.interp(life_fraction(test), known, means.to_numpy(dtype=float)), dtype=float)


BASELINES: dict[str, Baseline] = {
    "train_mean": train_mean,
    "linear_throughput": linear_throughput,
    "persistence": persistence,
}
"""Honest baselines by name; the probe stands apart because it uses the cell's future."""

LEAK_PROBE = "leak_probe"
