"""Leakage checks before promotion: no prediction may depend on later check-ups of the cell.

The leak probe of ``baselines`` shows the error that the end of life alone gives. Where all cells are cycled to the same
end it beats every model without a leak, so a model is checked by its own predictions, not by the error of the probe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Predict = Callable[["pd.DataFrame"], npt.NDArray[np.float64]]
_EQUAL = 1e-6  # of SOH: rounding of sums in another order
_MIN_LIFE_SPREAD = 0.05  # with smaller differences of life, cycle number and fraction of life are alike
_MAX_RESIDUAL = 0.01  # of life: largest residual of a column that is the fraction of life


def check_causality(predict: Predict, rows: pd.DataFrame) -> str:
    """Check that predictions for the first half of each cell do not change when its later check-ups are removed.

    Args:
        predict: SOH of raw rows, shape (N,).
        rows: raw rows of test cells, with cell_id and checkup_index.

    Returns:
        Empty, or the change, in words.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"cell_id": "A", "checkup_index": [0, 1, 2, 3], "x": [4.0, 3.0, 2.0, 1.0]})
        >>> check_causality(lambda r: r["x"].to_numpy(), rows)
        ''
        >>> check_causality(lambda r: (r["x"] / r["x"].min()).to_numpy(), rows)
        "predictions of 1 of 1 test cells change when their later check-ups are withheld (cell 'A' by 2.7): a leak"
    """
    ordered = rows.sort_values(["cell_id", "checkup_index"], kind="stable").reset_index(drop=True)
    position = ordered.groupby("cell_id").cumcount()
    size = ordered.groupby("cell_id")["checkup_index"].transform("size")
    early = (position < size / 2).to_numpy()
    whole, cut = predict(ordered)[early], predict(ordered[early].reset_index(drop=True))
    change = np.where(np.isnan(whole) == np.isnan(cut), np.nan_to_num(np.abs(whole - cut)), np.inf)
    cells = ordered.loc[early, "cell_id"].to_numpy()
    if not (changed := change > _EQUAL).any():
        return ""
    worst = int(np.argmax(change))
    return (
        f"predictions of {len(set(cells[changed]))} of {len(set(cells))} test cells change when their later check-ups "
        f"are withheld (cell '{cells[worst]}' by {change[worst]:.2g}): a leak"
    )


def life_fraction_columns(features: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    """Return features that are the fraction of life, rescaled: check-up over the last check-up of the cell.

    Such a column is computed from the whole life before the rows are handed over, so that it does not change when
    later rows are removed. It runs from the same start to the same end in cells of different life.

    Args:
        features: input of the model, shape (N, F).
        rows: the rows they belong to, with cell_id and checkup_index.

    Returns:
        Names of such columns; none where all cells have equally many check-ups.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"cell_id": [*"AABBB"], "checkup_index": [0, 1, 0, 1, 2]})
        >>> features = pd.DataFrame({"cycle": [0, 1, 0, 1, 2], "scaled": [0, 1, 0, 0.5, 1]})
        >>> life_fraction_columns(features, rows)
        ['scaled']
    """
    groups = rows.groupby("cell_id")["checkup_index"]
    first, last = groups.transform("min").to_numpy(float), groups.transform("max").to_numpy(float)
    spans = (groups.max() - groups.min()).to_numpy(float)
    if len(spans) < 2 or spans.std() < _MIN_LIFE_SPREAD * spans.mean():
        return []
    life = (rows["checkup_index"].to_numpy(float) - first) / np.maximum(last - first, 1.0)
    columns = []
    for name in features:
        values = features[name].to_numpy(float)
        finite = np.isfinite(values)
        if finite.sum() < 3 or np.ptp(values[finite]) == 0:
            continue
        slope, intercept = np.polyfit(values[finite], life[finite], 1)
        if np.abs(intercept + slope * values[finite] - life[finite]).max() < _MAX_RESIDUAL:
            columns.append(str(name))
    return columns
