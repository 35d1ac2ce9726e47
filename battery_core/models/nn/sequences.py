"""Histories of cells as a batch: sequences of different length and times, padded and masked."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

_LOG_AGE = 3.0  # log1p of 20 days: ages from a day to years are numbers of the size of scaled features


class History(NamedTuple):
    """Store histories with their real rows first.

    Shapes: x (B, T, F); valid (B, T), True where a row is real; last (B,), index of the row to predict; t (B, T), days.
    """

    x: Tensor
    valid: Tensor
    last: Tensor
    t: Tensor | None


def as_history(x: Tensor, mask: Tensor | None, t: Tensor | None) -> History:
    """Move real rows to the front in their order; a single check-up becomes a history of length one.

    All operations run on the device; the host never waits for the lengths.
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


def days_of(history: History) -> Tensor:
    """Return the days of each row, (B, T); without times, rows are one day apart."""
    if history.t is not None:
        return history.t
    batch, steps = history.valid.shape
    return torch.arange(steps, device=history.x.device, dtype=history.x.dtype).expand(batch, steps)


def changes_until_now(history: History, present: Tensor) -> Tensor:
    """Return the feature differences of each row from the last real row, and its age on a log scale.

    Shape:
        history.x (B, T, F), present (B, F) -> (B, T, F + 1), zero in the padding
    """
    days = days_of(history)
    age = (days.gather(1, history.last.unsqueeze(1)) - days).clamp(min=0)
    changes = torch.cat([history.x - present.unsqueeze(1), torch.log1p(age).unsqueeze(-1) / _LOG_AGE], dim=-1)
    return changes * history.valid.unsqueeze(-1)


def head_of(dims: Sequence[int], output_dim: int) -> nn.Sequential:
    """Build linear layers with ReLU between them, from a representation to SOH."""
    between = [part for before, after in pairwise(dims) for part in (nn.Linear(before, after), nn.ReLU())]
    return nn.Sequential(*between, nn.Linear(dims[-1], output_dim))


def reverse_rows(sequence: Tensor, last: Tensor) -> Tensor:
    """Reverse each history and leave its padding at the end; twice gives the original sequence.

    Shape:
        (B, T, C) -> (B, T, C)
    """
    steps = torch.arange(sequence.shape[1], device=sequence.device)
    mirrored = last.unsqueeze(1) - steps  # (B, T)
    index = torch.where(mirrored >= 0, mirrored, steps)
    return sequence.gather(1, index.unsqueeze(-1).expand_as(sequence))


def rows_at(sequence: Tensor, index: Tensor) -> Tensor:
    """Return one row of each history.

    Shape:
        (B, T, C), (B,) -> (B, C)
    """
    return sequence.gather(1, index.view(-1, 1, 1).expand(-1, 1, sequence.shape[-1])).squeeze(1)
