"""The main dQ/dV peak of a partial charge: relative position of the phase transitions of the electrodes."""

from __future__ import annotations

from battery_core.features.registry import FEATURES
from battery_core.features.sets.measured import MeasuredFeatures

PEAK = ("ica_peak_voltage_V", "ica_peak_height_Ah_per_V", "ica_peak_width_V", "ica_peak_area_Ah")


@FEATURES.register("ica")
class ICAFeatures(MeasuredFeatures):
    """Use voltage, height, width and area of the peak, measured in the charge before the check-up's discharge.

    A lower peak indicates loss of active material; a shift indicates resistance or slippage of the electrodes. The area
    of the whole charge curve is the capacity itself and is excluded.
    """

    name = "ica"
    uses = PEAK
    advice = "set data.extraction.ica_window_V to where these charges pass, or choose other features.sets"
