"""The feature sets by name; a class is imported only when it is asked for."""

from __future__ import annotations

from typing import Any

from battery_core.registry import Registry

FEATURES: Registry[Any] = Registry(
    "feature set",
    {
        "summary": "battery_core.features.sets.summary:SummaryFeatures",
        "charge": "battery_core.features.sets.charge:ChargeFeatures",
        "condition": "battery_core.features.sets.condition:ConditionFeatures",
        "first_checkups": "battery_core.features.sets.initial_relative:InitialRelativeFeatures",
        "trend": "battery_core.features.sets.history:RecentChangeFeatures",
        "drift": "battery_core.features.sets.history:EarlyDeviationFeatures",
        "lifetime": "battery_core.features.sets.history:ExpandingMeanFeatures",
        "ica": "battery_core.features.sets.ica:ICAFeatures",
        "dva": "battery_core.features.sets.dva:DVAFeatures",
        "resistance": "battery_core.features.sets.resistance:ResistanceFeatures",
    },
)
"""Each is a ``FeatureSet``."""
