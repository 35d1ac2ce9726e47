"""Paired significance tests of several models on the same cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon


@dataclass(frozen=True)
class PairedComparison:
    """Comparison of a model with the best one over the same cells.

    Args:
        model: its name.
        best: name of the model with the lowest mean error.
        gain: relative reduction of the mean error by the best model.
        wins: share of cells on which the best is better.
        p_value: Wilcoxon signed-rank, two-sided, after Holm; 1 where no cell differs.
        n_cells: cells compared.
    """

    model: str
    best: str
    gain: float
    wins: float
    p_value: float
    n_cells: int


def compare_with_best(errors: Mapping[str, pd.Series[float]]) -> list[PairedComparison]:
    """Compare every other model with the one of the lowest mean error, over the cells that all were tested on.

    Wilcoxon's signed-rank test is applied to the errors of each cell, averaged over seeds; errors of cells are too
    skewed for a t-test. P-values are somewhat too small: folds share training cells, and the best model was chosen by
    the same errors. They are corrected by Holm for the number of models.

    Args:
        errors: for each model the error of each cell, indexed by cell.

    Reference:
        F. Wilcoxon, Individual comparisons by ranking methods (1945); S. Holm (1979); J. Demsar, Statistical
        comparisons of classifiers over multiple data sets (2006).

    Example:
        >>> cells = [f"c{i}" for i in range(10)]
        >>> a = pd.Series(np.linspace(1, 2, 10), index=cells)
        >>> compare_with_best({"a": a, "b": a * 1.25})
        [PairedComparison(model='b', best='a', gain=0.2, wins=1.0, p_value=0.001953125, n_cells=10)]
    """
    table = pd.DataFrame(dict(errors)).dropna()
    if table.shape[1] < 2 or table.empty:
        return []
    best = str(table.mean().idxmin())
    others = [str(name) for name in table.mean().sort_values().index if name != best]
    p_values = _holm([_signed_rank((table[name] - table[best]).to_numpy()) for name in others])
    return [
        PairedComparison(
            name,
            best,
            round(float(1 - table[best].mean() / table[name].mean()), 12),
            float((table[best] < table[name]).mean()),
            p_value,
            len(table),
        )
        for name, p_value in zip(others, p_values, strict=True)
    ]


def _signed_rank(differences: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def _holm(p_values: list[float]) -> list[float]:
    """Return p-values adjusted by Holm: the probability of any false rejection stays below the level."""
    order = np.argsort(p_values, kind="stable")
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
