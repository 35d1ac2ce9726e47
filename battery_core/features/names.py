"""The feature sets by name; a class is imported only when it is asked for."""

from __future__ import annotations

from typing import Any

from battery_core.registry import Registry

FEATURES: Registry[Any] = Registry(
    "feature set",
    {
        "summary": "battery_core.features.summary:SummaryFeatures",
        "charge": "battery_core.features.charge:ChargeFeatures",
        "condition": "battery_core.features.condition:ConditionFeatures",
        "first_checkups": "battery_core.features.first_checkups:FirstCheckupFeatures",
        "trend": "battery_core.features.history:TrendFeatures",
        "drift": "battery_core.features.history:DriftFeatures",
        "lifetime": "battery_core.features.history:LifetimeFeatures",
        "ica": "battery_core.features.ica:ICAFeatures",
        "dva": "battery_core.features.dva:DVAFeatures",
        "resistance": "battery_core.features.resistance:ResistanceFeatures",
    },
)
"""Each is a ``FeatureSet``."""
