"""Resistances of a cell, each as it was last measured: current steps and impedance."""

from __future__ import annotations

from battery_core.features.registry import FEATURES
from battery_core.features.sets.measured import MeasuredFeatures

RESISTANCES = (
    "resistance_ohm",
    "step_resistance_charge_ohm",
    "step_resistance_discharge_ohm",
    "impedance_re_ohm",
    "impedance_rct_ohm",
    "impedance_temperature_degC",
)


@FEATURES.register("resistance")
class ResistanceFeatures(MeasuredFeatures):
    """Those of the resistances that a source has; a missing one is the last one measured before, never a later one."""

    name = "resistance"
    uses = RESISTANCES
    keeps_last = True
