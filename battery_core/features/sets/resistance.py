"""Resistances of a cell at its last measurement: current steps and impedance."""

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
    """Use the resistances that a source has; a missing value is the last one measured before, never a later one."""

    name = "resistance"
    uses = RESISTANCES
    keeps_last = True
