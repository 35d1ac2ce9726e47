"""Registry of losses; torch is imported only when a loss is made."""

from __future__ import annotations

from typing import Any

from battery_core.registry import Registry

_LOSSES = "battery_core.training.losses.basic"

LossRegistry: Registry[Any] = Registry(
    "loss",
    {
        "mse": f"{_LOSSES}:MSELoss",
        "physics_informed": "battery_core.training.losses.physics:PhysicsInformedLoss",
        "huber": f"{_LOSSES}:HuberLoss",
        "mape": f"{_LOSSES}:PercentageLoss",
        "mae": f"{_LOSSES}:MAELoss",
    },
)
