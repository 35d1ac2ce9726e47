"""Training of SOH models: one loop, losses by name, checkpoints that resume bit for bit.

The names below are imported when they are first used, so that settings and ``--help`` do not load torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from battery_core.training.callbacks import BaseCallback
    from battery_core.training.history import History, StopReason
    from battery_core.training.losses.basic import BaseLoss
    from battery_core.training.losses.registry import LossRegistry
    from battery_core.training.losses.settings import LossSettings
    from battery_core.training.settings import TrainerSettings
    from battery_core.training.trainer import Trainer

_MODULES = {
    "BaseCallback": "callbacks",
    "BaseLoss": "losses.basic",
    "History": "history",
    "LossRegistry": "losses.registry",
    "LossSettings": "losses.settings",
    "StopReason": "history",
    "Trainer": "trainer",
    "TrainerSettings": "settings",
}
__all__ = [
    "BaseCallback",
    "BaseLoss",
    "History",
    "LossRegistry",
    "LossSettings",
    "StopReason",
    "Trainer",
    "TrainerSettings",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
