"""Which models to mix, and how often each counts: chosen on validation cells, judged on cells that chose nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_ROUNDING = 1e-9  # of SOH: so little is no improvement
_MOST_FOLDS = 20  # more cells than these are left out several at a time


def greedy_picks(
    soh: npt.ArrayLike,
    cell_ids: Sequence[str] | npt.NDArray[Any],
    predictions: Mapping[str, npt.ArrayLike],
    n_picks: int,
) -> dict[str, int]:
    """How often to count each model so that the mean errs least on these cells (mean per-cell MAPE).

    Starting from nothing, the model that improves the mean most is added, again and again, the same one as often as it
    helps; the best of the steps counts. A model whose predictions are not all finite is never picked.

    Shape: soh (N,), predictions (N,) each.

    Reference:
        R. Caruana, A. Niculescu-Mizil, G. Crew, A. Ksikes, Ensemble selection from libraries of models (2004).

    Example:
        >>> greedy_picks([1.0, 0.8], ["A", "A"], {"high": [1.1, 0.9], "low": [0.9, 0.7], "bad": [2.0, 2.0]}, 10)
        {'high': 1, 'low': 1}
    """
    truth = np.asarray(soh, dtype=np.float64)
    _, cell = np.unique(np.asarray(cell_ids), return_inverse=True)
    per_cell = np.bincount(cell)
    known = {
        name: values for name, given in predictions.items() if np.isfinite(values := np.asarray(given, float)).all()
    }

    def error(estimate: npt.NDArray[np.float64]) -> float:
        return float((np.bincount(cell, weights=np.abs(estimate / truth - 1)) / per_cell).mean())

    picked: list[str] = []
    total, best = np.zeros_like(truth), (np.inf, 0)
    for count in range(1, n_picks + 1):
        if not known:
            break
        name = min(known, key=lambda candidate: error((total + known[candidate]) / count))
        total, picked = total + known[name], [*picked, name]
        if (now := error(total / count)) < best[0] - _ROUNDING:
            best = (now, count)
    return dict(Counter(picked[: best[1]]))


def mixed_by_others(
    soh: npt.ArrayLike, cell_ids: Sequence[str], predictions: Mapping[str, npt.ArrayLike], n_picks: int
) -> npt.NDArray[np.float64]:
    """What a mix says of each cell when only the other cells choose it, shape (N,).

    A mix errs less on the cells that chose it than on a new one: an interval measured there would be too narrow. The
    only cell there is has to choose for itself.

    Shape: soh (N,), predictions (N,) each.

    Example:
        >>> says = {"high": [1.1, 0.7], "low": [0.9, 0.7]}
        >>> mixed_by_others([1.0, 0.7], ["A", "B"], says, 10).tolist()
        [1.1, 0.7]
    """
    truth = np.asarray(soh, dtype=np.float64)
    names, cell = np.unique(np.asarray(cell_ids), return_inverse=True)
    given = {name: np.asarray(values, dtype=np.float64) for name, values in predictions.items()}
    fold = cell % _MOST_FOLDS
    mixed = np.full(len(truth), np.nan)
    for number in np.unique(fold):
        out = fold == number
        choosing = ~out if len(names) > 1 else out
        picks = greedy_picks(truth[choosing], cell[choosing], {n: v[choosing] for n, v in given.items()}, n_picks)
        if picks:
            mixed[out] = sum(count * given[name][out] for name, count in picks.items()) / sum(picks.values())
    return mixed
