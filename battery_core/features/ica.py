"""The main dQ/dV peak of a partial charge: where the phases of the electrodes stand against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_core.errors import DataError
from battery_core.features.base import FeatureSet, usable
from battery_core.features.names import FEATURES
from battery_core.features.settings import FeatureSettings

if TYPE_CHECKING:
    import pandas as pd

PEAK = ("ica_peak_voltage_V", "ica_peak_height_Ah_per_V", "ica_peak_width_V", "ica_peak_area_Ah")


@FEATURES.register("ica")
class ICAFeatures(FeatureSet):
    """Voltage, height, width and area of the peak, measured in the charge before the check-up's discharge.

    A peak that sinks is lost material, one that moves is resistance or a shift between the electrodes. The area of the
    whole charge curve is the capacity itself and never among them.
    """

    name = "ica"
    uses = PEAK

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Each row from itself alone."""
        if not (found := usable(rows, PEAK)):
            raise DataError(
                f"feature set 'ica': none of {', '.join(PEAK)} has a value - "
                "set data.extraction.ica_window_V to where these charges pass, or choose other features.sets"
            )
        return rows[found].copy()
