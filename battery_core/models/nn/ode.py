"""Batched integration of ODE states, each sample over its own times."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchdiffeq import odeint, odeint_adjoint

Rate = Callable[[Tensor], Tensor]

FIXED_STEP = ("rk4", "euler", "midpoint")


def integrate(
    rate: nn.Module,
    state: Tensor,
    times: Tensor,
    solver: str = "rk4",
    n_steps: int = 4,
    rtol: float = 1e-3,
    atol: float = 1e-4,
    adjoint: bool = False,
) -> Tensor:
    """Return the states at the times of each sample, in one solve of the whole batch.

    Time is rescaled: between two times of a sample, s runs over [0, 1], and dz/ds = (t1 - t0) f(z) with its own t0
    and t1. Uneven spacing and different days cost nothing. The state does not change between repeated times.

    Args:
        rate: f, the change of the state per unit of time, (B, H) -> (B, H).
        state: state at the first time, (B, H).
        times: K times of each sample, ascending, (B, K).
        solver: a method of torchdiffeq.
        n_steps: steps of a fixed-step solver between two times.
        rtol: relative tolerance of an adaptive solver.
        atol: absolute tolerance of an adaptive solver.
        adjoint: whether gradients come from the adjoint equation.

    Returns:
        States at each time, (B, K, H).

    Reference:
        R. T. Q. Chen et al., Neural ordinary differential equations (2018), section 2.
    """
    states = [state]
    for span in times.diff(dim=1).unbind(dim=1):
        state = _step(rate, state, span.unsqueeze(1), solver, n_steps, rtol, atol, adjoint)
        states.append(state)
    return torch.stack(states, dim=1)


def _step(
    rate: nn.Module, state: Tensor, span: Tensor, solver: str, n_steps: int, rtol: float, atol: float, adjoint: bool
) -> Tensor:
    """Return the state after the time span of each sample, (B, H)."""
    if solver == "rk4" and not adjoint:
        return _rk4(rate, state, span, n_steps)
    ends = torch.tensor([0.0, 1.0], device=state.device, dtype=state.dtype)
    options = {"step_size": 1.0 / n_steps} if solver in FIXED_STEP else None
    solve = odeint_adjoint if adjoint else odeint
    path: Tensor = solve(_Scaled(rate, span), state, ends, rtol=rtol, atol=atol, method=solver, options=options)
    return path[-1]


def _rk4(rate: Rate, state: Tensor, span: Tensor, n_steps: int) -> Tensor:
    """Integrate with the classical fourth-order Runge-Kutta rule, without the overhead of a general solver."""
    step = span / n_steps
    for _ in range(n_steps):
        k1 = rate(state)
        k2 = rate(torch.addcmul(state, step, k1, value=0.5))
        k3 = rate(torch.addcmul(state, step, k2, value=0.5))
        k4 = rate(torch.addcmul(state, step, k3))
        state = torch.addcmul(state, step, k1 + 2 * (k2 + k3) + k4, value=1 / 6)
    return state


class _Scaled(nn.Module):
    """Scale a rate by the time span of each sample; created for each solve, so that the model stores nothing."""

    def __init__(self, rate: nn.Module, span: Tensor) -> None:
        super().__init__()
        self.rate, self.span = rate, span

    def forward(self, s: Tensor, state: Tensor) -> Tensor:
        """Return the derivative of the state by s."""
        change: Tensor = self.span * self.rate(state)
        return change
