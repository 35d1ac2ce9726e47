"""Settings of the loss; importable without torch."""

from __future__ import annotations

from typing import Literal

from pydantic import field_validator

from battery_core.base_settings import SectionSettings, setting
from battery_core.errors import unknown_name
from battery_core.training.losses.registry import LossRegistry


class LossSettings(SectionSettings):
    """Set the loss to minimise, and its parameters (each loss uses those of its constructor).

    Example:
        >>> LossSettings(name="huber", delta=0.5).delta
        0.5
    """

    name: str = setting("mse", "Name in the loss registry")
    reduction: Literal["mean", "sum", "none"] = setting("mean", "How element losses become one number")
    delta: float = setting(1.0, "huber: where the loss turns from square to linear", gt=0)
    monotonicity_weight: float = setting(0.0, "physics_informed: weight of the penalty on a rising SOH", ge=0)
    smoothness_weight: float = setting(0.0, "physics_informed: weight of the penalty on a kinked SOH", ge=0)
    segment_length: int = setting(
        16, "physics_informed: consecutive check-ups of one cell that stay together in a batch", ge=2
    )
    epsilon: float = setting(1e-8, "mape: smallest target that is divided by", gt=0)

    @field_validator("name")
    @classmethod
    def _name_is_registered(cls, name: str) -> str:
        if name not in LossRegistry:
            raise ValueError(str(unknown_name("loss", name, LossRegistry.list_available())))
        return name
