"""Data drift: the distance of the test cells from the training cells, feature by feature."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import ks_2samp


def measure_drift(features: pd.DataFrame, subset: pd.Series[str]) -> pd.DataFrame:
    """Return the distance of the test rows from the training rows for each feature, the largest first.

    Args:
        features: shape (N, F); missing values are left out, feature by feature.
        subset: ``train`` or ``test`` for each row; other rows are not used.

    Returns:
        Columns ``feature``; ``ks``, the largest distance of the two cumulative distributions, 0 to 1; ``outside``, the
        share of test rows outside the range of the training rows. It is a distance without a p-value: check-ups of
        one cell are not independent.

    Reference:
        Kolmogorov (1933), Smirnov (1948): the two-sample statistic.

    Example:
        >>> frame = pd.DataFrame({"a": [0.0, 1.0, 0.0, 1.0], "b": [0.0, 1.0, 2.0, 3.0]})
        >>> measure_drift(frame, pd.Series(["train", "train", "test", "test"]))["ks"].tolist()
        [1.0, 0.0]
    """
    lines = []
    for name in features.columns:
        train, test = finite_values(features[name], subset, "train"), finite_values(features[name], subset, "test")
        if len(train) and len(test):
            outside = float(np.mean((test < train.min()) | (test > train.max())))
            lines.append((str(name), float(ks_2samp(train, test, method="asymp").statistic), outside))
    table = pd.DataFrame(lines, columns=["feature", "ks", "outside"])
    return table.sort_values(["ks", "feature"], ascending=[False, True], ignore_index=True)


def finite_values(values: pd.Series[float], subset: pd.Series[str], name: str) -> npt.NDArray[np.float64]:
    """Return the finite values of the rows of one subset, in their order."""
    chosen = values[(subset == name).to_numpy()].to_numpy(dtype=float)
    return np.asarray(chosen[np.isfinite(chosen)], dtype=np.float64)
