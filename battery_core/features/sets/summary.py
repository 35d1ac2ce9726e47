"""Usage of a cell up to a check-up and its resistance, as a battery management system records them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from battery_core.features.base import FeatureSet, usable
from battery_core.features.registry import FEATURES
from battery_core.features.settings import FeatureSettings
from battery_core.units import convert

if TYPE_CHECKING:
    import pandas as pd

GAS_CONSTANT_J_per_mol_K = 8.31446261815324
_AS_MEASURED = ("throughput_Ah", "time_days", "cycle_count", "resistance_ohm")


@FEATURES.register("summary")
class SummaryFeatures(FeatureSet):
    """Throughput, equivalent full cycles, time, cycles, resistance, temperature and an Arrhenius term.

    Calendar ageing grows with the square root of time, cycling with EFC, both scaled by Arrhenius above about 20 degC
    (below it lithium plating turns the sign: the plain temperature is there too, a model may use both).
    """

    name = "summary"
    uses = (*_AS_MEASURED, "nominal_capacity_Ah", "ambient_temperature_degC")

    def compute(self, rows: pd.DataFrame, settings: FeatureSettings) -> pd.DataFrame:
        """Compute each row from itself alone."""
        available = set(usable(rows, self.uses))
        features = rows[[c for c in _AS_MEASURED if c in available]].copy()
        if {"throughput_Ah", "nominal_capacity_Ah"} <= available:
            features["equivalent_full_cycles"] = rows["throughput_Ah"].abs() / (2.0 * rows["nominal_capacity_Ah"])
        if "time_days" in available:
            features["sqrt_time_days"] = np.sqrt(rows["time_days"].clip(lower=0.0))
        if "ambient_temperature_degC" in available:
            kelvin = convert(rows["ambient_temperature_degC"].astype(float), "degC", "K")
            features["temperature_K"] = kelvin
            features["arrhenius"] = arrhenius(kelvin, settings)
        return features


def arrhenius(temperature_K: pd.Series[float], settings: FeatureSettings) -> pd.Series[float]:
    """Return the rate of a thermally activated reaction relative to that at Tref, exp(-Ea/R (1/T - 1/Tref)).

    Example:
        >>> import pandas as pd
        >>> arrhenius(pd.Series([298.15, 313.15]), FeatureSettings()).round(3).tolist()
        [1.0, 1.785]
    """
    reference = convert(settings.reference_temperature_degC, "degC", "K")
    per_gas_constant = settings.activation_energy_kJ_mol * 1e3 / GAS_CONSTANT_J_per_mol_K
    rate: pd.Series[float] = np.exp(-per_gas_constant * (1.0 / temperature_K - 1.0 / reference))
    return rate
