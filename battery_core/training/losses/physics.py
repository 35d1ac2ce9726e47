"""Loss with soft penalties on an SOH that rises or bends."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from battery_core.errors import SettingsError
from battery_core.training.losses.basic import BaseLoss
from battery_core.training.losses.settings import LossSettings

_DEFAULT = LossSettings()


class PhysicsInformedLoss(BaseLoss):
    """Squared error with penalties from ageing physics: SOH seldom rises, and seldom bends sharply.

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
        """Return the squared error of each target, without the penalties."""
        return (pred - target) ** 2

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        t: Tensor | None = None,
        mask: Tensor | None = None,
        segment: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch; without ``segment`` all rows are consecutive check-ups of one cell."""
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
        zero = pred.new_zeros(())
        rise = torch.where(joined, (pred[1:] - pred[:-1]).clamp(min=0), zero)
        penalty = F.pad(self.monotonicity_weight * rise, (0, 0, 1, 0))  # (B-1, D) -> (B, D), counted at the later row
        if self.smoothness_weight == 0 or len(pred) < 3:
            return penalty
        kink = torch.where(joined[1:] & joined[:-1], _kinks(pred, t) ** 2, zero)
        return penalty + F.pad(self.smoothness_weight * kink, (0, 0, 1, 1))  # (B-2, D) -> (B, D), at the middle row


def _kinks(pred: Tensor, t: Tensor | None) -> Tensor:
    """Return the distance of each middle row from the line through its neighbours in time, shape (B-2, D)."""
    if t is None:
        t = torch.arange(len(pred), device=pred.device, dtype=pred.dtype)
    before, after = (t[1:-1] - t[:-2]).unsqueeze(-1), (t[2:] - t[1:-1]).unsqueeze(-1)
    span = before + after
    # check-ups on the same day have no line between them: halfway, so that nothing is divided by 0
    fraction = torch.where(
        span > 0, before / torch.where(span > 0, span, torch.ones_like(span)), torch.full_like(span, 0.5)
    )
    return pred[1:-1] - torch.lerp(pred[:-2], pred[2:], fraction.to(pred.dtype).expand_as(pred[1:-1]))
