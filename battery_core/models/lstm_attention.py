"""Bidirectional LSTM with self-attention over a cell's history, up to the check-up to predict."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from battery_core.errors import SettingsError
from battery_core.models.nn.base import TorchModel, initialise
from battery_core.models.nn.parallel_members import ParallelMembers
from battery_core.models.nn.sequences import History, as_history, changes_until_now, head_of, reverse_rows, rows_at
from battery_core.models.settings import LSTMSettings

_DEFAULT = LSTMSettings()


class LSTMAttentionModel(TorchModel):
    """Estimate SOH at the last real row of a history, from that row and the rows before it.

    The inputs of the LSTM are the feature differences of each row from the row to predict, and the age of the row.
    The head takes the attention output and the features of the row to predict. So a single check-up is estimated as by
    a perceptron, and a history adds a correction. Each direction is a separate LSTM; the backward one reads reversed
    histories, so that padding is never read. The host never waits for the lengths. In the multi-head attention, the
    last row is the query, and all rows are keys and values.

    Args:
        input_dim: features F of a check-up.
        hidden_dim: width H of each direction.
        num_layers: layers on top of each other.
        n_heads: attention heads; they divide 2 H.
        head_dims: width of each layer between state and SOH.
        dropout: share of units dropped between layers and before the head.
        output_dim: targets D.
        init: torch, xavier or he.
        n_members: networks trained at once, see ``TorchModel``.

    Shape:
        x (B, T, F), mask (B, T), t (B, T) in days -> (B, D); with members the same or (K, B, ...) -> (K, B, D)

    Raises:
        SettingsError: the heads do not divide 2 H.

    Reference:
        S. Hochreiter, J. Schmidhuber (1997); A. Vaswani et al., Attention is all you need (2017), equation 1.

    Example:
        >>> model = LSTMAttentionModel(input_dim=3, hidden_dim=8)
        >>> model(torch.zeros(2, 5, 3), mask=torch.ones(2, 5, dtype=torch.bool)).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        input_dim: int,
        hidden_dim: int = _DEFAULT.hidden_dim,
        num_layers: int = _DEFAULT.num_layers,
        n_heads: int = _DEFAULT.n_heads,
        head_dims: Sequence[int] = _DEFAULT.head_dims,
        dropout: float = _DEFAULT.dropout,
        output_dim: int = 1,
        init: str = _DEFAULT.init,
        n_members: int = _DEFAULT.n_members,
    ) -> None:
        super().__init__(
            input_dim, hidden_dim=hidden_dim, num_layers=num_layers, n_heads=n_heads, head_dims=list(head_dims),
            dropout=dropout, output_dim=output_dim, init=init, n_members=n_members,
        )  # fmt: skip
        width = 2 * hidden_dim
        if width % n_heads:
            raise SettingsError(
                f"LSTMAttentionModel n_heads: expected a divisor of 2 x hidden_dim = {width}, got {n_heads}"
            )
        self.n_heads = n_heads
        if n_members > 1:
            self.members = ParallelMembers(self.singles())
            return
        sizes = [input_dim + 1] + [width] * (num_layers - 1)
        self.onward = nn.ModuleList(nn.LSTM(size, hidden_dim, batch_first=True) for size in sizes)
        self.backward_ = nn.ModuleList(nn.LSTM(size, hidden_dim, batch_first=True) for size in sizes)
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.mix, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        self.head = head_of([width + input_dim, *head_dims], output_dim)
        initialise(self, init)

    def forward(self, x: Tensor, mask: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        """Return SOH at the last real row of each history, by each member if there are several."""
        if self.n_members > 1:
            each: Tensor = self.members(x, mask, t)
            return each
        history = as_history(x, mask, t)
        present = rows_at(history.x, history.last)
        states = self._states(history, present)
        now = rows_at(states, history.last)
        query, key, value = self._attention_inputs(states, now)
        seen = history.valid[:, None, None, :]  # (B, 1, 1, T)
        answer = F.scaled_dot_product_attention(query, key, value, attn_mask=seen)  # (B, heads, 1, 2H/heads)
        mixed = self.mix(answer.transpose(1, 2).flatten(1))  # (B, heads, 1, d) -> (B, 2H)
        out: Tensor = self.head(torch.cat([self.drop(self.norm(now + mixed)), present], dim=-1))
        return out

    @torch.no_grad()
    def explain(self, x: Tensor, mask: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        """Return the attention weight of each row, (B, heads, T); they sum to 1 over real rows and are 0 on padding.

        Rows are in the order of the history, real ones first. Of several members it is the mean.
        """
        if self.n_members > 1:
            return torch.stack([self.member(i).explain(x, mask, t) for i in range(self.n_members)]).mean(dim=0)
        was_training = self.training
        self.eval()
        history = as_history(x, mask, t)
        states = self._states(history, rows_at(history.x, history.last))
        query, key, _ = self._attention_inputs(states, rows_at(states, history.last))
        scores = (query @ key.transpose(-1, -2)).squeeze(2) / key.shape[-1] ** 0.5  # (B, heads, T)
        self.train(was_training)
        weights: Tensor = scores.masked_fill(~history.valid.unsqueeze(1), -torch.inf).softmax(dim=-1)
        return weights

    def copy_member(self, single: LSTMAttentionModel, index: int) -> None:
        """Copy the weights of one member into a single model."""
        self.members.copy_to(single, index)

    def _states(self, history: History, present: Tensor) -> Tensor:
        """Return the states of both directions, (B, T, 2H)."""
        states = changes_until_now(history, present)
        for depth, (onward, backward) in enumerate(zip(self.onward, self.backward_, strict=True)):
            states = self.drop(states) if depth else states
            later = reverse_rows(backward(reverse_rows(states, history.last))[0], history.last)
            states = torch.cat([onward(states)[0], later], dim=-1)
        return states

    def _attention_inputs(self, states: Tensor, now: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the query of the last row, and keys and values of all rows, each (B, heads, 1 or T, 2H/heads)."""
        key, value = self.key_value(states).chunk(2, dim=-1)
        query = self.query(now).unsqueeze(1)  # (B, 2H) -> (B, 1, 2H)
        split = [part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for part in (query, key, value)]
        return split[0], split[1], split[2]
