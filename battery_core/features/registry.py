"""The feature sets by name; a class is imported on first use."""

from __future__ import annotations

from typing import Any

from battery_core.registry import Registry

FEATURES: Registry[Any] = Registry(
    "feature set",
    {
        "summary": "battery_core.features.sets.summary:SummaryFeatures",
        "charge": "battery_core.features.sets.charge:ChargeFeatures",
        "condition": "battery_core.features.sets.condition:ConditionFeatures",
        "initial_relative": "battery_core.features.sets.initial_relative:InitialRelativeFeatures",
        "recent_change": "battery_core.features.sets.history:RecentChangeFeatures",
        "early_deviation": "battery_core.features.sets.history:EarlyDeviationFeatures",
        "expanding_mean": "battery_core.features.sets.history:ExpandingMeanFeatures",
        "ica": "battery_core.features.sets.ica:ICAFeatures",
        "dva": "battery_core.features.sets.dva:DVAFeatures",
        "resistance": "battery_core.features.sets.resistance:ResistanceFeatures",
    },
)
"""Each is a ``FeatureSet``."""
