"""Losses between estimated and measured SOH; each is filed under a name in ``LossRegistry``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from battery_core.errors import SettingsError, unknown_name
from battery_core.training.loss_registry import LossRegistry
from battery_core.training.settings import LossSettings

_DEFAULT = LossSettings()


class BaseLoss(nn.Module):
    """A loss; a custom one overrides ``forward(pred, target, t=None)``, a built-in one only ``elements``.

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
        """Loss of each target, shape (B, D)."""
        raise NotImplementedError(
            f"{type(self).__name__}: write elements(pred, target) or forward(pred, target, t=None)"
        )

    def forward(self, pred: Tensor, target: Tensor, t: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """The loss of a batch; see the class for shapes."""
        return self.reduce(self.elements(pred, target), mask)

    def reduce(self, elements: Tensor, mask: Tensor | None) -> Tensor:
        """Element losses to one number; masked elements count for nothing, not even as NaN."""
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
        """The loss of a batch."""
        if mask is None:  # one kernel, and the very bits of the usual hand-written loop
            return F.mse_loss(pred, target, reduction=self.reduction)
        return super().forward(pred, target, t, mask)

    def elements(self, pred: Tensor, target: Tensor) -> Tensor:
        """Squared error."""
        return (pred - target) ** 2


class MAELoss(BaseLoss):
    """Mean absolute error."""

    def elements(self, pred: Tensor, target: Tensor) -> Tensor:
        """Absolute error."""
        return (pred - target).abs()


class HuberLoss(BaseLoss):
    """Square for small errors, linear beyond ``delta``, so that one bad check-up does not rule.

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
        """Huber loss of each target."""
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
        """Relative error."""
        return (pred - target).abs() / target.abs().clamp(min=self.epsilon)


class PhysicsInformedLoss(BaseLoss):
    """Squared error, and what is known of ageing: SOH seldom rises, and seldom bends sharply.

    Along the consecutive check-ups of one cell, with p the estimate and t the time:
    rise_i = max(0, p_i - p_{i-1}); kink_i = (p_i - line through (t_{i-1}, p_{i-1}) and (t_{i+1}, p_{i+1}) at t_i)^2.
    A kink is a distance in SOH, so its weight has no unit of time, and uneven spacing is honoured. Both are 0 for a
    single check-up, are never taken across cells or targets, and skip check-ups whose target is masked. Capacity may
    recover after a rest: the penalties are soft.

    Args:
        monotonicity_weight: weight of the rise.
        smoothness_weight: weight of the kink.
        segment_length: consecutive check-ups that the batcher keeps together.
        reduction: see ``BaseLoss``; ``mean`` divides all terms by the number of valid targets.
    """

    along_cells = True

    def __init__(
        self,
        monotonicity_weight: float = _DEFAULT.monotonicity_weight,
        smoothness_weight: float = _DEFAULT.smoothness_weight,
        segment_length: int = _DEFAULT.segment_length,
        reduction: str = _DEFAULT.reduction,
    ) -> None:
        super().__init__(reduction)
        if min(monotonicity_weight, smoothness_weight) < 0:
            raise SettingsError(
                f"physics_informed: weights have to be 0 or more, got {monotonicity_weight} and {smoothness_weight}"
            )
        self.monotonicity_weight, self.smoothness_weight = monotonicity_weight, smoothness_weight
        self.segment_length = segment_length
        self.along_cells = monotonicity_weight > 0 or smoothness_weight > 0

    def elements(self, pred: Tensor, target: Tensor) -> Tensor:
        """Squared error of each target, without the penalties."""
        return (pred - target) ** 2

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        t: Tensor | None = None,
        mask: Tensor | None = None,
        segment: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch; without ``segment`` all rows are consecutive check-ups of one cell."""
        loss = self.elements(pred, target)
        if self.along_cells and len(pred) > 1:
            loss = loss + self._penalties(pred, t, mask, segment)
        return self.reduce(loss, mask)

    def _penalties(self, pred: Tensor, t: Tensor | None, mask: Tensor | None, segment: Tensor | None) -> Tensor:
        joined = torch.ones_like(pred[1:], dtype=torch.bool)  # (B-1, D): row i+1 follows row i on the same cell
        if segment is not None:
            joined = joined & (segment[1:] == segment[:-1]).unsqueeze(-1)
        if mask is not None:
            joined = joined & mask[1:] & mask[:-1]
        nothing = pred.new_zeros(())
        rise = torch.where(joined, (pred[1:] - pred[:-1]).clamp(min=0), nothing)
        penalty = F.pad(self.monotonicity_weight * rise, (0, 0, 1, 0))  # (B-1, D) -> (B, D), counted at the later row
        if self.smoothness_weight == 0 or len(pred) < 3:
            return penalty
        kink = torch.where(joined[1:] & joined[:-1], _kinks(pred, t) ** 2, nothing)
        return penalty + F.pad(self.smoothness_weight * kink, (0, 0, 1, 1))  # (B-2, D) -> (B, D), at the middle row


def _kinks(pred: Tensor, t: Tensor | None) -> Tensor:
    """Distance of each middle row from the line through its neighbours in time, shape (B-2, D)."""
    if t is None:
        t = torch.arange(len(pred), device=pred.device, dtype=pred.dtype)
    before, after = (t[1:-1] - t[:-2]).unsqueeze(-1), (t[2:] - t[1:-1]).unsqueeze(-1)
    span = before + after
    # check-ups on the same day have no line between them: halfway, so that nothing is divided by 0
    share = torch.where(
        span > 0, before / torch.where(span > 0, span, torch.ones_like(span)), torch.full_like(span, 0.5)
    )
    return pred[1:-1] - torch.lerp(pred[:-2], pred[2:], share.to(pred.dtype).expand_as(pred[1:-1]))


def make_loss(config: LossSettings | Mapping[str, Any] | nn.Module | None) -> nn.Module:
    """The loss a configuration asks for; settings of other losses are passed over, unknown names are not.

    Raises:
        UnknownNameError: no loss, or no parameter of the loss, has that name.

    Example:
        >>> make_loss({"name": "huber", "delta": 0.5}).delta
        0.5
    """
    if isinstance(config, nn.Module):
        return config
    if isinstance(config, LossSettings):
        values = config.model_dump()
        known = _parameters(config.name)
        return LossRegistry.get(config.name, **{key: value for key, value in values.items() if key in known})
    values = dict(config or {})
    name = values.pop("name", _DEFAULT.name)
    known = _parameters(name)
    for key in values:
        if key not in known:
            raise unknown_name(f"parameter of loss '{name}'", key, known)
    return LossRegistry.get(name, **values)


def _parameters(name: str) -> list[str]:
    return [key for key in inspect.signature(LossRegistry[name].__init__).parameters if key != "self"]
