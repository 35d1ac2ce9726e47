"""Losses between estimated and measured SOH; each has a name in ``LossRegistry``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from battery_core.errors import SettingsError, unknown_name
from battery_core.training.losses.registry import LossRegistry
from battery_core.training.losses.settings import LossSettings

_DEFAULT = LossSettings()


class BaseLoss(nn.Module):
    """Base class of losses; a custom one overrides ``forward(pred, target, t=None)``, a built-in one only ``elements``.

    The Trainer passes, by name, what ``forward`` accepts of: ``t`` (time of each row in days, shape (B,)), ``mask``
    (True where a target is measured, shape (B, D)) and ``segment`` (rows with the same number are consecutive
    check-ups of one cell, shape (B,)).

    Args:
        reduction: ``mean`` over valid targets, ``sum``, or ``none`` (element by element, 0 where masked).

    Raises:
        SettingsError: the reduction is none of the three.
    """

    #: Whether batches have to hold consecutive check-ups of one cell in time order.
    along_cells = False

    def __init__(self, reduction: str = _DEFAULT.reduction) -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise SettingsError(f"loss reduction: expected 'mean', 'sum' or 'none', got '{reduction}'")
        self.reduction = reduction

    def elements(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the loss of each target, shape (B, D)."""
        raise NotImplementedError(
            f"{type(self).__name__}: write elements(pred, target) or forward(pred, target, t=None)"
        )

    def forward(self, pred: Tensor, target: Tensor, t: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return the loss of a batch; see the class for shapes."""
        return self.reduce(self.elements(pred, target), mask)

    def reduce(self, elements: Tensor, mask: Tensor | None) -> Tensor:
        """Reduce element losses to one number; masked elements are left out, even where they are NaN."""
        if mask is not None:
            elements = torch.where(mask, elements, elements.new_zeros(()))
        if self.reduction == "none":
            return elements
        total = elements.sum()
        if self.reduction == "sum":
            return total
        return total / (elements.numel() if mask is None else mask.sum().clamp(min=1))


class MSELoss(BaseLoss):
    """Mean squared error.

    Example:
        >>> round(MSELoss()(torch.tensor([[0.9], [0.8]]), torch.tensor([[0.9], [0.9]])).item(), 4)
        0.005
    """

    def forward(self, pred: Tensor, target: Tensor, t: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """Return the loss of a batch."""
        if mask is None:  # one kernel, and the bits of the usual hand-written loop
            return F.mse_loss(pred, target, reduction=self.reduction)
        return super().forward(pred, target, t, mask)

    def elements(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the squared error."""
        return (pred - target) ** 2


class MAELoss(BaseLoss):
    """Mean absolute error."""

    def elements(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the absolute error."""
        return (pred - target).abs()


class HuberLoss(BaseLoss):
    """Square for small errors, linear beyond ``delta``, so that one bad check-up does not dominate.

    Args:
        delta: where the square turns into a line, in the unit of the target.
        reduction: see ``BaseLoss``.

    Reference:
        P. J. Huber, Robust estimation of a location parameter (1964).
    """

    def __init__(self, delta: float = _DEFAULT.delta, reduction: str = _DEFAULT.reduction) -> None:
        super().__init__(reduction)
        if delta <= 0:
            raise SettingsError(f"huber delta: expected a number above 0, got {delta}")
        self.delta = delta

    def elements(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the Huber loss of each target."""
        return F.huber_loss(pred, target, reduction="none", delta=self.delta)


class PercentageLoss(BaseLoss):
    """Absolute error relative to the target, as a fraction: 0.01 is one percent.

    Args:
        epsilon: smallest target that is divided by.
        reduction: see ``BaseLoss``.
    """

    def __init__(self, epsilon: float = _DEFAULT.epsilon, reduction: str = _DEFAULT.reduction) -> None:
        super().__init__(reduction)
        if epsilon <= 0:
            raise SettingsError(f"mape epsilon: expected a number above 0, got {epsilon}")
        self.epsilon = epsilon

    def elements(self, pred: Tensor, target: Tensor) -> Tensor:
        """Return the relative error."""
        return (pred - target).abs() / target.abs().clamp(min=self.epsilon)


def make_loss(config: LossSettings | Mapping[str, Any] | nn.Module | None) -> nn.Module:
    """Return the loss of a configuration; settings of other losses are ignored, unknown names are refused.

    Raises:
        UnknownNameError: no loss, or no parameter of the loss, has that name.

    Example:
        >>> make_loss({"name": "huber", "delta": 0.5}).delta
        0.5
    """
    if isinstance(config, nn.Module):
        return config
    if isinstance(config, LossSettings):
        parameters = _parameters(config.name)
        values = {key: value for key, value in config.model_dump().items() if key in parameters or key == "name"}
    else:
        values = dict(config or {})
    name = values.pop("name", _DEFAULT.name)
    parameters = _parameters(name)
    for key in values:
        if key not in parameters:
            raise unknown_name(f"parameter of loss '{name}'", key, parameters)
    loss: nn.Module = LossRegistry.get(name, **values)
    return loss


def _parameters(name: str) -> list[str]:
    return [key for key in inspect.signature(LossRegistry[name].__init__).parameters if key != "self"]
