"""Tests that a fitted model has to pass before it may serve: nothing it says may come from a cell's future.

The leak probe of ``baselines`` shows what knowing a cell's end of life is worth; where all cells are cycled to the same
end it beats every honest model, so a model is not judged by the probe's error but by what it does itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

Predict = Callable[["pd.DataFrame"], npt.NDArray[np.float64]]
_EQUAL = 1e-6  # of SOH: what summing in another order may change
_SAME_LIFE = 0.05  # cells whose lives differ by less cannot tell a cycle number from a fraction of life
_REVEALED = 0.01  # of life: a column this close to it is made of it


def future_cut(predict: Predict, rows: pd.DataFrame) -> str:
    """Withhold the second half of every cell's check-ups: what is said of the first half must not change.

    Args:
        predict: SOH of raw rows, shape (N,).
        rows: raw rows of test cells, with cell_id and checkup_index.

    Returns:
        Empty, or what changed, in words.

    Example:
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"cell_id": "A", "checkup_index": [0, 1, 2, 3], "x": [4.0, 3.0, 2.0, 1.0]})
        >>> future_cut(lambda r: r["x"].to_numpy(), rows)
        ''
        >>> future_cut(lambda r: (r["x"] / r["x"].min()).to_numpy(), rows)
        "predictions of 1 of 1 test cells change when their later check-ups are withheld (cell 'A' by 2.7): a leak"
    """
    ordered = rows.sort_values(["cell_id", "checkup_index"], kind="stable").reset_index(drop=True)
    place = ordered.groupby("cell_id").cumcount()
    size = ordered.groupby("cell_id")["checkup_index"].transform("size")
    early = (place < size / 2).to_numpy()
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
    """Features that are the fraction of life, rescaled: check-up over a cell's last one, known only after its end.

    A column computed from a whole life before the rows are handed over does not change when later rows are withheld;
    it gives itself away because it runs from the same start to the same end in cells of different life.

    Args:
        features: what the model sees, shape (N, F).
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
    if len(spans) < 2 or spans.std() < _SAME_LIFE * spans.mean():
        return []
    life = (rows["checkup_index"].to_numpy(float) - first) / np.maximum(last - first, 1.0)
    revealed = []
    for name in features:
        values = features[name].to_numpy(float)
        known = np.isfinite(values)
        if known.sum() < 3 or np.ptp(values[known]) == 0:
            continue
        slope, intercept = np.polyfit(values[known], life[known], 1)
        if np.abs(intercept + slope * values[known] - life[known]).max() < _REVEALED:
            revealed.append(str(name))
    return revealed
