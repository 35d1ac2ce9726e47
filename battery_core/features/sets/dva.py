"""The main dV/dQ peaks of a slow charge: shift of the electrodes, and loss of active material."""

from __future__ import annotations

from battery_core.features.registry import FEATURES
from battery_core.features.sets.measured import MeasuredFeatures

DVA_PEAKS = (
    "dva_peak_Ah",
    "dva_peak_of_nominal",
    "dva_peak_height_V_per_Ah",
    "dva_second_peak_Ah",
    "dva_second_peak_height_V_per_Ah",
    "dva_peak_distance_Ah",
    "dva_valley_V_per_Ah",
)


@FEATURES.register("dva")
class DVAFeatures(MeasuredFeatures):
    """Use position and height of both peaks, their distance and the valley, in the charge before the discharge.

    A common shift of the peaks indicates loss of lithium; a smaller distance indicates loss of active material. The
    charge of the whole curve, and positions relative to it, reveal the capacity and are excluded.
    """

    name = "dva"
    uses = DVA_PEAKS
    advice = (
        "dV/dQ needs a slow charge: a lower data.extraction.dva_prominence_V finds fainter peaks, "
        "or choose other features.sets"
    )
