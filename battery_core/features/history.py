"""Where a cell comes from: its own measurements up to now, smoothed, against their past; nothing of its future."""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_core.data.sources.base import CHARGE_STATISTICS
from battery_core.features.base import FeatureSet, usable
from battery_core.features.names import FEATURES
from battery_core.features.settings import FeatureSettings

if TYPE_CHECKING:
    import pandas as pd

_MEASURED = (*CHARGE_STATISTICS, "resistance_ohm")
_FEWEST_SMOOTHED = 5  # a slope is not taken between single noisy check-ups


@FEATURES.register("trend")
class TrendFeatures(FeatureSet):
    """Each measurement freed of noise, and how far it moved in the last ``trend_checkups`` check-ups.

    Two cells of the same capacity can look alike at one check-up and differ in how fast they got there; which policy a
    cell is used with shows in its slopes. A younger cell is compared with its first check-up. Needs the cell's rows
    from its beginning.
    """

    name = "trend"
    uses = _MEASURED

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Each row from itself and earlier rows of its cell."""
        measured = rows[usable(rows, self.uses)]
        level = smoothed(measured, rows["cell_id"], settings.smooth_checkups)
        slow = smoothed(measured, rows["cell_id"], max(_FEWEST_SMOOTHED, settings.trend_checkups // 4))
        by_cell = slow.groupby(rows["cell_id"])
        before = by_cell.shift(settings.trend_checkups).fillna(by_cell.transform("first"))
        return level.add_suffix("_smooth").join((slow - before).add_suffix("_recent_change"))


@FEATURES.register("drift")
class DriftFeatures(FeatureSet):
    """How far each measurement, freed of noise, is from the mean of the cell's first ``drift_checkups`` check-ups.

    The start is what exists of it by then: check-up 1 is compared with check-ups 0 and 1.
    """

    name = "drift"
    uses = _MEASURED

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Each row from itself and earlier rows of its cell."""
        measured, cell = rows[usable(rows, self.uses)], rows["cell_id"]
        early = rows.groupby("cell_id").cumcount() < settings.drift_checkups
        start = running_mean(measured[early], cell[early]).reindex(rows.index).groupby(cell).ffill()
        return (smoothed(measured, cell, settings.smooth_checkups) - start).add_suffix("_drift")


@FEATURES.register("lifetime")
class LifetimeFeatures(FeatureSet):
    """Mean of each measurement over all check-ups of the cell so far: how it was treated until now."""

    name = "lifetime"
    uses = _MEASURED

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Each row from itself and earlier rows of its cell."""
        measured = rows[usable(rows, self.uses)]
        return running_mean(measured, rows["cell_id"]).add_suffix("_mean_so_far")


def smoothed(values: pd.DataFrame, cell: pd.Series[str], span: int) -> pd.DataFrame:
    """Exponentially weighted mean of a cell's rows up to each row; weights fall by 1 - 2 / (span + 1) a row.

    Example:
        >>> import pandas as pd
        >>> smoothed(pd.DataFrame({"v": [1.0, 2.0, 9.0]}), pd.Series(["A", "A", "B"]), 1)["v"].tolist()
        [1.0, 2.0, 9.0]
    """
    return values.groupby(cell).ewm(span=span).mean().droplevel(0).reindex(values.index)


def running_mean(values: pd.DataFrame, cell: pd.Series[str]) -> pd.DataFrame:
    """Mean of a cell's rows from its first to each row.

    Example:
        >>> import pandas as pd
        >>> running_mean(pd.DataFrame({"v": [1.0, 2.0, 9.0]}), pd.Series(["A", "A", "B"]))["v"].tolist()
        [1.0, 1.5, 9.0]
    """
    return values.groupby(cell).expanding().mean().droplevel(0).reindex(values.index)
