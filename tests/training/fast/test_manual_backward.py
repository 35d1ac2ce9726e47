"""Gradients without autograd: the bits of the eager backend, and only where the model is covered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from battery_core.models.mlp import MLPModel
from battery_core.models.nn.batched_mlp import BatchedMLP, PackedDropout
from battery_core.training import BaseCallback, BaseLoss, Trainer
from battery_core.training.fast.manual_backward import ManualBackward

Make = Callable[..., Any]
#: 60 check-ups: three full batches and a short one an epoch, four epochs.
FAST: dict[str, Any] = {"epochs": 4, "batch_size": 16, "learning_rate": 0.01, "device": "cpu"}
BATCHES = 16
BACKENDS = ("auto", "eager")


@pytest.fixture
def manual_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the rows of each batch whose gradient was computed without autograd."""
    rows: list[int] = []
    original = ManualBackward.backward

    def backward(self: ManualBackward, batch: Any, loss_weight: float) -> Tensor:
        rows.append(batch.x.shape[-2])
        return original(self, batch, loss_weight)

    monkeypatch.setattr(ManualBackward, "backward", backward)
    return rows


def mlp(**kwargs: Any) -> MLPModel:
    torch.manual_seed(3)
    return MLPModel(4, [8, 6], **({"dropout": 0.3} | kwargs))


def train(make: Callable[[], nn.Module], samples: Any, backend: str, **kwargs: Any) -> tuple[nn.Module, list[float]]:
    model, config = make(), FAST | kwargs.pop("config", {}) | {"backend": backend}
    history = Trainer(model, config, **kwargs).fit(samples)
    return model, history["train_loss"]


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu", "gelu"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("n_members", [1, 3])
def test_each_layer_gives_the_bits_of_autograd(
    activation: str, accumulate: int, n_members: int, make_samples: Make, same_weights: Make, manual_rows: list[int]
) -> None:
    def make() -> MLPModel:
        return mlp(activation=activation, n_members=n_members, output_dim=2)

    samples = make_samples()
    samples.y = np.hstack([samples.y, samples.y**2])
    config = {"accumulate": accumulate, "batch_size": 13}  # 13 x 4 + 8: the last batch and the last group are short
    runs = [train(make, samples, backend, config=config) for backend in BACKENDS]
    assert same_weights(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert manual_rows == [13, 13, 13, 13, 8] * 4


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "mape", "physics_informed"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("missing", "n_members"), [(False, 1), (True, 1), (False, 3)])
def test_each_loss_gives_the_bits_of_autograd(
    name: str,
    reduction: str,
    missing: bool,
    n_members: int,
    make_samples: Make,
    same_weights: Make,
    manual_rows: list[int],
) -> None:
    samples = make_samples()
    samples.y = np.hstack([samples.y, samples.y**2])
    if missing:
        samples.y[::7, 1] = np.nan
    weights = {"monotonicity_weight": 0.1, "smoothness_weight": 0.1} if name == "physics_informed" else {}
    loss = {"name": name, "reduction": reduction, **weights}
    runs = [
        train(lambda: mlp(output_dim=2, n_members=n_members), samples, backend, loss_config=loss)
        for backend in BACKENDS
    ]
    assert same_weights(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert len(manual_rows) == BATCHES


def layers_of(model: MLPModel) -> nn.Sequential:
    return model.layers.layers if isinstance(model.layers, BatchedMLP) else model.layers


def more_dropout(model: MLPModel) -> None:
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.6
        elif isinstance(part, PackedDropout):
            part.dropped = 40000


def no_dropout(model: MLPModel) -> None:
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(part, PackedDropout):
            part.dropped = 0


def other_activation(model: MLPModel) -> None:
    layers_of(model)[1] = nn.Tanh()


def frozen_layer(model: MLPModel) -> None:
    layers_of(model)[0].requires_grad_(False)


def other_memory(model: MLPModel) -> None:
    for weight in model.parameters():
        weight.data = weight.data * 0.5


def gradient_hook(model: MLPModel) -> None:
    next(model.parameters()).register_hook(lambda grad: grad * 3)


@pytest.mark.parametrize(
    "change", [more_dropout, no_dropout, other_activation, frozen_layer, other_memory, gradient_hook]
)
@pytest.mark.parametrize("n_members", [1, 2])
def test_changes_by_a_callback_between_epochs_take_effect(
    change: Callable[[MLPModel], None], n_members: int, make_samples: Make, same_weights: Make, manual_rows: list[int]
) -> None:
    def make() -> MLPModel:
        return mlp(n_members=n_members)

    class Change(BaseCallback):
        def on_epoch_start(self, epoch: int) -> None:
            if epoch == 2:
                assert isinstance(self.trainer.model, MLPModel)
                change(self.trainer.model)

    config = {"gradient_clip": 0.05}  # so that a gradient that grew threefold shows in Adam's moments
    runs = [train(make, make_samples(), backend, config=config, callbacks=[Change()]) for backend in BACKENDS]
    assert same_weights(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert len(manual_rows) == (BATCHES // 2 if change in (frozen_layer, gradient_hook) else BATCHES)
    assert not same_weights(runs[0][0], train(make, make_samples(), "auto", config=config)[0])


class Doubling(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        once = nn.Linear(4, 4)
        self.inner = nn.Sequential(once, nn.ReLU(), once, nn.Linear(4, 1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x)
        return out


def replaced_forward() -> nn.Module:
    model = mlp()
    inner = model.layers[0].forward
    model.layers[0].forward = lambda x: inner(x) * 2
    return model


def hooked(register: str, hook: Callable[..., Any], n_members: int = 1) -> nn.Module:
    model = mlp(n_members=n_members)
    getattr(layers_of(model)[3], register)(hook)
    return model


def frozen_members() -> nn.Module:
    model = mlp(n_members=2)
    next(model.parameters()).requires_grad_(False)
    return model


class Shuffled(BatchedMLP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flip(0)


def members_of_a_subclass() -> nn.Module:
    return Shuffled([nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)) for _ in range(2)])


NOT_PLAIN: dict[str, Callable[[], nn.Module]] = {
    "forward hook": lambda: hooked("register_forward_hook", lambda module, args, out: out * 2),
    "forward pre-hook": lambda: hooked("register_forward_pre_hook", lambda module, args: (args[0] * 2,)),
    "backward hook": lambda: hooked("register_full_backward_hook", lambda module, grads, outs: (grads[0] * 2,)),
    "subclass": lambda: nn.Sequential(Doubling(4, 3), nn.Linear(3, 1)),
    "replaced forward": replaced_forward,
    "tied": lambda: Tied().inner,
    "unknown layer": lambda: nn.Sequential(nn.Linear(4, 3), nn.ELU(), nn.Linear(3, 1)),
    "no bias": lambda: nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 1)),
    "in place": lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 1)),
    "frozen": lambda: nn.Sequential(nn.Linear(4, 3).requires_grad_(False), nn.Linear(3, 1)),
    "parametrised": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.Linear(3, 1)),
    "frozen members": frozen_members,
    "hook on members": lambda: hooked("register_forward_hook", lambda module, args, out: out * 2, n_members=2),
    "members of a subclass": members_of_a_subclass,
}


@pytest.mark.parametrize("reason", NOT_PLAIN)
def test_models_that_are_not_covered_go_through_autograd(
    reason: str, make_samples: Make, same_weights: Make, manual_rows: list[int]
) -> None:
    def make() -> nn.Module:
        torch.manual_seed(3)
        return NOT_PLAIN[reason]()

    runs = [train(make, make_samples(), backend) for backend in BACKENDS]
    assert same_weights(runs[0][0], runs[1][0])
    assert manual_rows == []


def test_custom_losses_and_hooks_on_batches_go_through_autograd(
    make_samples: Make, same_weights: Make, manual_rows: list[int]
) -> None:
    class Growing(BaseLoss):
        calls = 0

        def forward(self, pred: Tensor, target: Tensor, t: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
            self.calls += 1
            return ((pred - target) ** 2).mean() * self.calls

    class Watcher(BaseCallback):
        def on_batch_end(self, epoch: int, batch: int, loss: Any) -> None:
            if (epoch, batch) == (1, 1):
                more_dropout(self.trainer.model)  # type: ignore[arg-type]

    for kwargs in ({"loss_config": Growing}, {"callbacks": lambda: [Watcher()]}):
        runs = [train(mlp, make_samples(), backend, **{k: v() for k, v in kwargs.items()}) for backend in BACKENDS]
        assert same_weights(runs[0][0], runs[1][0])
        assert runs[0][1] == runs[1][1]
    assert manual_rows == []


def test_autocast_around_the_training_goes_through_autograd(make_samples: Make, manual_rows: list[int]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        train(mlp, make_samples(), "auto")
    assert manual_rows == []
