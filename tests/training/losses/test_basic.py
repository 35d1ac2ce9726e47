"""Losses against numbers worked out by hand, torch's own, and finite differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from battery_core.errors import SettingsError, UnknownNameError
from battery_core.training.losses.basic import BaseLoss, make_loss
from battery_core.training.losses.physics import PhysicsInformedLoss
from battery_core.training.losses.registry import LossRegistry
from battery_core.training.losses.settings import LossSettings

PRED = torch.tensor([[0.94, 1.0], [0.91, 0.2], [0.86, 0.0]])
TRUE = torch.tensor([[0.95, 0.5], [0.90, 0.2], [0.85, 0.1]])
REFERENCE = {
    "mse": ((PRED - TRUE) ** 2),
    "mae": (PRED - TRUE).abs(),
    "huber": F.huber_loss(PRED, TRUE, reduction="none", delta=1.0),
    "mape": ((PRED - TRUE) / TRUE).abs(),
    "physics_informed": ((PRED - TRUE) ** 2),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_reductions_agree_with_the_elements(name: str) -> None:
    want = REFERENCE[name]
    torch.testing.assert_close(LossRegistry.get(name)(PRED, TRUE), want.mean())
    torch.testing.assert_close(LossRegistry.get(name, reduction="sum")(PRED, TRUE), want.sum())
    torch.testing.assert_close(LossRegistry.get(name, reduction="none")(PRED, TRUE), want)


@pytest.mark.parametrize("name", REFERENCE)
def test_masked_targets_count_for_nothing_not_even_as_nan(name: str) -> None:
    mask = torch.tensor([[True, False], [True, True], [False, False]])
    target = TRUE.clone().masked_fill(~mask, float("nan"))
    pred = PRED.clone().requires_grad_()
    loss = LossRegistry.get(name)(pred, torch.where(mask, target, 0.0), mask=mask)
    torch.testing.assert_close(loss, REFERENCE[name][mask].mean())
    loss.backward()
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()
    assert (pred.grad[~mask] == 0).all()


@pytest.mark.parametrize("name", REFERENCE)
def test_nothing_valid_is_zero(name: str) -> None:
    assert LossRegistry.get(name)(PRED, TRUE, mask=torch.zeros_like(PRED, dtype=torch.bool)).item() == 0.0


def test_mape_of_a_zero_target_is_finite() -> None:
    assert torch.isfinite(LossRegistry.get("mape")(torch.ones(2, 1), torch.zeros(2, 1)))


def test_huber_turns_linear_at_delta() -> None:
    loss = LossRegistry.get("huber", delta=0.5)(torch.tensor([[2.0]]), torch.tensor([[0.0]]))
    assert loss.item() == pytest.approx(0.5 * (2.0 - 0.25))


def physics(mono: float = 0.0, smooth: float = 0.0, **kwargs: Any) -> PhysicsInformedLoss:
    return PhysicsInformedLoss(mono, smooth, **kwargs)


def column(*values: float) -> Tensor:
    return torch.tensor(values).unsqueeze(-1)


def test_monotonicity_is_the_mean_rise_along_a_cell() -> None:
    pred = column(1.0, 0.9, 0.95, 0.94)
    assert physics(mono=2.0)(pred, pred).item() == pytest.approx(2.0 * 0.05 / 4)


def test_monotonicity_is_zero_on_a_fading_cell() -> None:
    pred = column(1.0, 0.99, 0.97)
    assert physics(mono=1.0)(pred, pred).item() == 0.0


def test_smoothness_honours_uneven_times() -> None:
    t = torch.tensor([0.0, 10.0, 40.0, 50.0])
    line = (1 - 0.002 * t).unsqueeze(-1)
    assert physics(smooth=1.0)(line, line, t=t).item() == pytest.approx(0.0, abs=1e-14)
    assert physics(smooth=1.0)(line, line).item() > 1e-5  # as if the check-ups were evenly spaced: bent


def test_smoothness_is_the_squared_distance_from_the_neighbours_line() -> None:
    pred, t = column(1.0, 0.8, 0.9), torch.tensor([0.0, 1.0, 4.0])
    at_middle = 1.0 + (0.9 - 1.0) * 1 / 4
    assert physics(smooth=3.0)(pred, pred, t=t).item() == pytest.approx(3.0 * (0.8 - at_middle) ** 2 / 3)


@pytest.mark.parametrize("rows", [1, 2])
def test_single_and_paired_checkups_are_never_nan(rows: int) -> None:
    pred = torch.ones(rows, 1)
    assert physics(1.0, 1.0)(pred, pred).item() == 0.0


def test_checkups_on_the_same_day_are_never_nan() -> None:
    pred = column(1.0, 0.9, 0.8).requires_grad_()
    loss = physics(1.0, 1.0)(pred, pred.detach(), t=torch.zeros(3))
    loss.backward()
    assert pred.grad is not None
    assert torch.isfinite(pred.grad).all()


def test_penalties_never_cross_cells() -> None:
    pred, segment = column(0.7, 0.6, 1.0, 0.9), torch.tensor([0, 0, 1, 1])
    assert physics(1.0, 1.0)(pred, pred, segment=segment).item() == 0.0
    assert physics(1.0, 1.0)(pred, pred).item() > 0.0


def test_penalties_never_cross_targets_and_skip_masked_ones() -> None:
    pred = torch.tensor([[1.0, 0.1], [0.9, 0.2]])
    mask = torch.tensor([[True, True], [True, False]])
    assert physics(1.0)(pred, pred).item() == pytest.approx(0.1 / 4)
    assert physics(1.0)(pred, pred, mask=mask).item() == 0.0


def test_penalty_gradient_equals_finite_differences() -> None:
    pred = torch.tensor([[1.0], [0.9], [0.95], [0.7]], dtype=torch.float64, requires_grad=True)
    target, t = torch.full_like(pred, 0.8).detach(), torch.tensor([0.0, 1.0, 3.0, 4.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda p: physics(0.3, 0.7)(p, target, t=t), (pred,))


@pytest.fixture
def custom_name() -> Iterator[str]:
    name = "test_scaled"
    yield name
    LossRegistry._entries.pop(name, None)


def test_custom_loss_is_at_once_a_legal_setting(custom_name: str) -> None:
    @LossRegistry.register(custom_name)
    class Scaled(BaseLoss):
        def __init__(self, alpha: float = 1.0, reduction: str = "mean") -> None:
            super().__init__(reduction)
            self.alpha = alpha

        def elements(self, pred: Tensor, target: Tensor) -> Tensor:
            return self.alpha * (pred - target) ** 2

    assert LossRegistry.list_available()[-1] == custom_name
    assert LossSettings(name=custom_name).name == custom_name
    assert make_loss({"name": custom_name, "alpha": 2.0})(column(1.0), column(0.0)).item() == 2.0


def test_settings_pass_on_what_the_loss_knows() -> None:
    loss: Any = make_loss(LossSettings(name="huber", delta=0.25, monotonicity_weight=3.0))
    assert loss.delta == 0.25


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"name": "hubber"}, UnknownNameError, r"unknown loss 'hubber': did you mean 'huber'"),
        (
            {"name": "huber", "delt": 1},
            UnknownNameError,
            r"unknown parameter of loss 'huber' 'delt': did you mean 'delta'",
        ),
        (
            {"name": "mse", "delta": 1},
            UnknownNameError,
            r"unknown parameter of loss 'mse' 'delta'.*There are: reduction",
        ),
        (
            {"name": "mse", "reduction": "avg"},
            SettingsError,
            r"loss reduction: expected 'mean', 'sum' or 'none', got 'avg'",
        ),
        ({"name": "huber", "delta": 0}, SettingsError, r"huber delta: expected a number above 0, got 0"),
        ({"name": "mape", "epsilon": 0}, SettingsError, r"mape epsilon: expected a number above 0, got 0"),
        (
            {"name": "physics_informed", "smoothness_weight": -1},
            SettingsError,
            r"physics_informed: weights have to be 0 or more, got 0.0 and -1",
        ),
    ],
)
def test_wrong_loss_configuration_is_named(config: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make_loss(config)


def test_loss_without_elements_says_what_to_write() -> None:
    with pytest.raises(NotImplementedError, match=r"BaseLoss: write elements\(pred, target\) or forward"):
        BaseLoss()(PRED, TRUE)
