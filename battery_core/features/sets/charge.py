"""Statistics of the end of a charge (constant current, then constant voltage) and the raw cycle number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_core.data.sources.base import CHARGE_STATISTICS
from battery_core.errors import DataError
from battery_core.features.base import FeatureSet, usable
from battery_core.features.registry import FEATURES
from battery_core.features.settings import FeatureSettings

if TYPE_CHECKING:
    import pandas as pd


@FEATURES.register("charge")
class ChargeFeatures(FeatureSet):
    """Use the 16 statistics as measured, and the cell's cycle number.

    The cycle number is raw: divided by the cell's last cycle it would be the fraction of life, which no deployed model
    has. A statistic that is label-equivalent for a source (``CC Q`` of MIT) is left out there.
    """

    name = "charge"
    uses = (*CHARGE_STATISTICS, "cycle_count")

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Compute each row from itself alone."""
        if not usable(rows, CHARGE_STATISTICS):
            raise DataError(
                "feature set 'charge': none of the 16 charge statistics has a value (voltage_mean_V, ...) - "
                "choose other features.sets for this source"
            )
        return rows[usable(rows, self.uses)]
