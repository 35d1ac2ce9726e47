"""A cell's history as a batch: rows of different number and time, padded and masked."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class History(NamedTuple):
    """Histories with their real rows first.

    Shapes: x (B, T, F); valid (B, T), True where a row is real; last (B,), index of the row to predict; t (B, T), days.
    """

    x: Tensor
    valid: Tensor
    last: Tensor
    t: Tensor | None


def as_history(x: Tensor, mask: Tensor | None, t: Tensor | None) -> History:
    """Real rows moved to the front in their order, wherever the padding was; a single check-up is a history of one.

    All of it happens on the device: the lengths are never asked for on the host.
    """
    if x.ndim == 2:
        x = x.unsqueeze(1)  # (B, F) -> (B, 1, F)
        t = None if t is None else t.reshape(len(x), 1)
    batch, steps = x.shape[:2]
    if mask is None:
        valid = torch.ones(batch, steps, dtype=torch.bool, device=x.device)
        return History(x, valid, torch.full((batch,), steps - 1, device=x.device), t)
    order = torch.argsort((~mask).to(torch.uint8), dim=1, stable=True)
    count = mask.sum(dim=1).clamp(min=1)  # an empty history is one row of padding rather than NaN
    valid = torch.arange(steps, device=x.device) < count.unsqueeze(1)
    x = x.gather(1, order.unsqueeze(-1).expand_as(x)) * valid.unsqueeze(-1)
    return History(x, valid, count - 1, None if t is None else t.gather(1, order))


def reverse_rows(sequence: Tensor, last: Tensor) -> Tensor:
    """Each history backwards, its padding still at the end; doing it twice gives the sequence back.

    Shape:
        (B, T, C) -> (B, T, C)
    """
    steps = torch.arange(sequence.shape[1], device=sequence.device)
    mirrored = last.unsqueeze(1) - steps  # (B, T)
    index = torch.where(mirrored >= 0, mirrored, steps)
    return sequence.gather(1, index.unsqueeze(-1).expand_as(sequence))


def rows_at(sequence: Tensor, index: Tensor) -> Tensor:
    """One row of each history.

    Shape:
        (B, T, C), (B,) -> (B, C)
    """
    return sequence.gather(1, index.view(-1, 1, 1).expand(-1, 1, sequence.shape[-1])).squeeze(1)
