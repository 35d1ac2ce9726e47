"""Neural ODE of ageing: encode a history as a latent state, integrate it over time, decode SOH."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from battery_core.from_config import from_config
from battery_core.models.nn.base import TorchModel, initialise
from battery_core.models.nn.ode import integrate
from battery_core.models.nn.parallel_members import ParallelMembers
from battery_core.models.nn.sequences import (
    History,
    as_history,
    changes_until_now,
    days_of,
    head_of,
    reverse_rows,
    rows_at,
)
from battery_core.models.settings import NeuralODESettings

_DEFAULT = NeuralODESettings()


class Trajectory(NamedTuple):
    """Store a latent path: ``days`` (B, K), ``latent`` (B, K, H) and ``soh`` (B, K, D) along it.

    The SOH is what the check-up to predict would be estimated at with that much ageing behind it.
    """

    days: Tensor
    latent: Tensor
    soh: Tensor


class NeuralODEModel(TorchModel):
    """Estimate SOH at the last real row of a history, from a latent state integrated from the first day to the last.

    The inputs of the GRU are the feature differences of each row from the row to predict, newest row first. Its output
    is the state on the first day. The solver integrates the state to the last day, each sample over its own times. The
    head takes the final state and the features of the row to predict. A history of one row needs no integration.

    Args:
        input_dim: features F of a check-up.
        latent_dim: width H of the state.
        hidden_dim: width of the GRU and of the rate network.
        head_dims: width of each layer between state and SOH.
        output_dim: targets D.
        solver: method of torchdiffeq; the other numbers are in ``NeuralODESettings``.
        n_members: networks trained at once, see ``TorchModel``.

    Shape:
        x (B, T, F), mask (B, T), t (B, T) in days -> (B, D); with members the same or (K, B, ...) -> (K, B, D)

    Raises:
        SettingsError: the solver does not exist, or a number is outside its limits.

    Reference:
        Y. Rubanova, R. T. Q. Chen, D. Duvenaud, Latent ODEs for irregularly-sampled time series (2019), section 3.

    Example:
        >>> model = NeuralODEModel(input_dim=3)
        >>> model(torch.zeros(2, 4, 3), t=torch.tensor([[0.0, 9, 20, 31], [0, 50, 51, 90]])).shape
        torch.Size([2, 1])
    """

    def __init__(
        self,
        input_dim: int,
        latent_dim: int = _DEFAULT.latent_dim,
        hidden_dim: int = _DEFAULT.hidden_dim,
        head_dims: Sequence[int] = _DEFAULT.head_dims,
        output_dim: int = 1,
        solver: str = _DEFAULT.solver,
        n_steps: int = _DEFAULT.n_steps,
        rtol: float = _DEFAULT.rtol,
        atol: float = _DEFAULT.atol,
        adjoint: bool = _DEFAULT.adjoint,
        time_scale_days: float = _DEFAULT.time_scale_days,
        init: str = _DEFAULT.init,
        n_members: int = _DEFAULT.n_members,
    ) -> None:
        values = {
            "latent_dim": latent_dim, "hidden_dim": hidden_dim, "head_dims": tuple(head_dims), "solver": solver,
            "n_steps": n_steps, "rtol": rtol, "atol": atol, "adjoint": adjoint,
            "time_scale_days": time_scale_days, "init": init, "n_members": n_members,
        }  # fmt: skip
        checked = from_config(NeuralODESettings, values, "neural_ode")
        super().__init__(input_dim, output_dim=output_dim, **checked.model_dump(mode="json"))
        self.settings = checked
        if n_members > 1:
            self.members = ParallelMembers(self.singles())
            return
        self.encoder = nn.GRU(input_dim + 1, hidden_dim, batch_first=True)
        self.to_latent = nn.Linear(hidden_dim, latent_dim)
        self.rate = nn.Sequential(nn.Linear(latent_dim, hidden_dim), nn.Tanh(), nn.Linear(hidden_dim, latent_dim))
        self.head = head_of([latent_dim + input_dim, *head_dims], output_dim)
        initialise(self, init)

    def forward(self, x: Tensor, mask: Tensor | None = None, t: Tensor | None = None) -> Tensor:
        """Return SOH at the last real row of each history, by each member if there are several."""
        if self.n_members > 1:
            each: Tensor = self.members(x, mask, t)
            return each
        history = as_history(x, mask, t)
        days, present = days_of(history), rows_at(history.x, history.last)
        ends = torch.stack([days[:, 0], days.gather(1, history.last.unsqueeze(1)).squeeze(1)], dim=1)  # (B, 2)
        aged = self._path(history, present, ends)[:, -1]
        out: Tensor = self.head(torch.cat([aged, present], dim=-1))
        return out

    @torch.no_grad()
    def explain(self, x: Tensor, mask: Tensor | None = None, t: Tensor | None = None, points: int = 20) -> Trajectory:
        """Return the latent path and its SOH at evenly spaced days between each sample's first and last row.

        Members have latent states of their own, which are no mean: it is the first member's.
        """
        if self.n_members > 1:
            return self.member(0).explain(x, mask, t, points)
        history = as_history(x, mask, t)
        days, present = days_of(history), rows_at(history.x, history.last)
        first, last = days[:, :1], days.gather(1, history.last.unsqueeze(1))
        wanted = first + (last - first) * torch.linspace(0, 1, points, device=days.device)  # (B, K)
        latent = self._path(history, present, wanted)
        beside = present.unsqueeze(1).expand(-1, points, -1)  # (B, F) -> (B, K, F)
        return Trajectory(wanted, latent, self.head(torch.cat([latent, beside], dim=-1)))

    def copy_member(self, single: NeuralODEModel, index: int) -> None:
        """Copy the weights of one member into a single model."""
        self.members.copy_to(single, index)

    def _path(self, history: History, present: Tensor, wanted: Tensor) -> Tensor:
        """Return the latent states at the requested days, (B, K, H); the first day is that of the first row."""
        scale, s = self.settings.time_scale_days, self.settings
        rows = changes_until_now(history, present)  # (B, T, F + 1)
        read, _ = self.encoder(reverse_rows(rows, history.last))
        state = self.to_latent(rows_at(read, history.last))
        return integrate(self.rate, state, wanted / scale, s.solver, s.n_steps, s.rtol, s.atol, s.adjoint)
