"""Resistances of a cell, each as it was last measured: current steps and impedance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_core.errors import DataError
from battery_core.features.base import FeatureSet, usable
from battery_core.features.names import FEATURES
from battery_core.features.settings import FeatureSettings

if TYPE_CHECKING:
    import pandas as pd

RESISTANCES = (
    "resistance_ohm",
    "step_resistance_charge_ohm",
    "step_resistance_discharge_ohm",
    "impedance_re_ohm",
    "impedance_rct_ohm",
    "impedance_temperature_degC",
)


@FEATURES.register("resistance")
class ResistanceFeatures(FeatureSet):
    """Those of the resistances that a source has; a missing one is the last one measured before, never a later one."""

    name = "resistance"
    uses = RESISTANCES

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Each row from itself and the rows of its cell before it."""
        if not (found := usable(rows, RESISTANCES)):
            raise DataError(
                f"feature set 'resistance': none of {', '.join(RESISTANCES)} has a value - choose other features.sets"
            )
        return rows.groupby("cell_id", sort=False)[found].ffill()
