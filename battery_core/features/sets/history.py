"""History features: a cell's smoothed measurements up to a check-up, relative to earlier ones of the same cell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from battery_core.data.sources.base import CHARGE_STATISTICS
from battery_core.features.base import FeatureSet, usable
from battery_core.features.registry import FEATURES
from battery_core.features.running_stats import first_rows, running_mean, smoothed
from battery_core.features.settings import FeatureSettings

if TYPE_CHECKING:
    import numpy.typing as npt

_MEASURED = (*CHARGE_STATISTICS, "resistance_ohm")
_FEWEST_SMOOTHED = 5  # a slope is not taken between single noisy check-ups


@FEATURES.register("recent_change")
class RecentChangeFeatures(FeatureSet):
    """Each measurement, smoothed, and its change over the last ``recent_change_checkups`` check-ups.

    Two cells of the same capacity can look alike at one check-up and differ in how fast they got there; which policy a
    cell is used with shows in its slopes. A younger cell is compared with its first check-up. Needs the cell's rows
    from its beginning.
    """

    name = "recent_change"
    uses = _MEASURED

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Compute each row from itself and earlier rows of its cell."""
        cell, values, names = _measured(rows, self.uses)
        level = smoothed(values, cell, settings.smooth_checkups)
        slow = smoothed(values, cell, max(_FEWEST_SMOOTHED, settings.recent_change_checkups // 4))
        before = slow[np.maximum(np.arange(len(rows)) - settings.recent_change_checkups, first_rows(cell))]
        if (unknown := np.isnan(before)).any():  # not measured by then: since the first time it was
            before[unknown] = pd.DataFrame(slow).groupby(cell).transform("first").to_numpy()[unknown]
        columns = [f"{c}_smooth" for c in names] + [f"{c}_recent_change" for c in names]
        return pd.DataFrame(np.hstack([level, slow - before]), rows.index, columns, copy=False)


@FEATURES.register("early_deviation")
class EarlyDeviationFeatures(FeatureSet):
    """Difference of each smoothed measurement from the mean of the first ``early_deviation_checkups`` of its cell.

    The start is what exists of it by then: check-up 1 is compared with check-ups 0 and 1.
    """

    name = "early_deviation"
    uses = _MEASURED

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Compute each row from itself and earlier rows of its cell."""
        cell, values, names = _measured(rows, self.uses)
        early = np.arange(len(rows)) - first_rows(cell) < settings.early_deviation_checkups
        start = running_mean(values[early], cell[early])[np.cumsum(early) - 1]  # later rows repeat the last of them
        deviation = smoothed(values, cell, settings.smooth_checkups) - start
        return pd.DataFrame(deviation, rows.index, [f"{c}_early_deviation" for c in names], copy=False)


@FEATURES.register("expanding_mean")
class ExpandingMeanFeatures(FeatureSet):
    """Mean of each measurement over all check-ups of the cell up to this one."""

    name = "expanding_mean"
    uses = _MEASURED

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Compute each row from itself and earlier rows of its cell."""
        cell, values, names = _measured(rows, self.uses)
        return pd.DataFrame(running_mean(values, cell), rows.index, [f"{c}_expanding_mean" for c in names], copy=False)


def _measured(
    rows: pd.DataFrame, uses: tuple[str, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], list[str]]:
    """Return the number of each row's cell, its measurements, shape (N, F), and their names."""
    names = usable(rows, uses)
    return rows["cell_id"].factorize()[0], np.ascontiguousarray(rows[names].to_numpy(dtype=np.float64)), names
