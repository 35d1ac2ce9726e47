"""Gradients without autograd: the bits of autograd, and only where the model is known to be plain."""

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


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each batch that went without autograd."""
    rows: list[int] = []
    original = ManualBackward.backward

    def backward(self: ManualBackward, batch: Any, share: float) -> Tensor:
        rows.append(batch.x.shape[-2])
        return original(self, batch, share)

    monkeypatch.setattr(ManualBackward, "backward", backward)
    return rows


def mlp(**kwargs: Any) -> MLPModel:
    torch.manual_seed(3)
    return MLPModel(4, [8, 6], **({"dropout": 0.3} | kwargs))


def train(make: Callable[[], nn.Module], samples: Any, direct: bool, **kwargs: Any) -> tuple[nn.Module, list[float]]:
    model, config = make(), FAST | kwargs.pop("config", {}) | {"manual_backward": direct}
    history = Trainer(model, config, **kwargs).fit(samples)
    return model, history["train_loss"]


@pytest.mark.parametrize("activation", ["relu", "tanh", "silu", "gelu"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("n_members", [1, 3])
def test_each_layer_gives_the_bits_of_autograd(
    activation: str, accumulate: int, n_members: int, make_samples: Make, same_weights: Make, seen: list[int]
) -> None:
    def make() -> MLPModel:
        return mlp(activation=activation, n_members=n_members, output_dim=2)

    samples = make_samples()
    samples.y = np.hstack([samples.y, samples.y**2])
    config = {"accumulate": accumulate, "batch_size": 13}  # 13 x 4 + 8: the last batch and the last group are short
    runs = [train(make, samples, on, config=config) for on in (True, False)]
    assert same_weights(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert seen == [13, 13, 13, 13, 8] * 4


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "mape", "physics_informed"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("missing", "n_members"), [(False, 1), (True, 1), (False, 3)])
def test_each_loss_gives_the_bits_of_autograd(
    name: str, reduction: str, missing: bool, n_members: int, make_samples: Make, same_weights: Make, seen: list[int]
) -> None:
    samples = make_samples()
    samples.y = np.hstack([samples.y, samples.y**2])
    if missing:
        samples.y[::7, 1] = np.nan
    weights = {"monotonicity_weight": 0.1, "smoothness_weight": 0.1} if name == "physics_informed" else {}
    loss = {"name": name, "reduction": reduction, **weights}
    runs = [
        train(lambda: mlp(output_dim=2, n_members=n_members), samples, on, loss_config=loss) for on in (True, False)
    ]
    assert same_weights(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert len(seen) == BATCHES


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
def test_what_a_callback_changes_between_epochs_is_heard(
    change: Callable[[MLPModel], None], n_members: int, make_samples: Make, same_weights: Make, seen: list[int]
) -> None:
    def make() -> MLPModel:
        return mlp(n_members=n_members)

    class Change(BaseCallback):
        def on_epoch_start(self, epoch: int) -> None:
            if epoch == 2:
                assert isinstance(self.trainer.model, MLPModel)
                change(self.trainer.model)

    config = {"gradient_clip": 0.05}  # so that a gradient that grew threefold shows in Adam's moments
    runs = [train(make, make_samples(), on, config=config, callbacks=[Change()]) for on in (True, False)]
    assert same_weights(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert len(seen) == (BATCHES // 2 if change in (frozen_layer, gradient_hook) else BATCHES)
    assert not same_weights(runs[0][0], train(make, make_samples(), True, config=config)[0])


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


def own_forward() -> nn.Module:
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


def own_members() -> nn.Module:
    return Shuffled([nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1)) for _ in range(2)])


NOT_PLAIN: dict[str, Callable[[], nn.Module]] = {
    "forward hook": lambda: hooked("register_forward_hook", lambda module, args, out: out * 2),
    "forward pre-hook": lambda: hooked("register_forward_pre_hook", lambda module, args: (args[0] * 2,)),
    "backward hook": lambda: hooked("register_full_backward_hook", lambda module, grads, outs: (grads[0] * 2,)),
    "subclass": lambda: nn.Sequential(Doubling(4, 3), nn.Linear(3, 1)),
    "own forward": own_forward,
    "tied": lambda: Tied().inner,
    "unknown layer": lambda: nn.Sequential(nn.Linear(4, 3), nn.ELU(), nn.Linear(3, 1)),
    "no bias": lambda: nn.Sequential(nn.Linear(4, 3, bias=False), nn.Linear(3, 1)),
    "in place": lambda: nn.Sequential(nn.Linear(4, 3), nn.ReLU(inplace=True), nn.Linear(3, 1)),
    "frozen": lambda: nn.Sequential(nn.Linear(4, 3).requires_grad_(False), nn.Linear(3, 1)),
    "parametrised": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.Linear(3, 1)),
    "frozen members": frozen_members,
    "hook on members": lambda: hooked("register_forward_hook", lambda module, args, out: out * 2, n_members=2),
    "members of one's own": own_members,
}


@pytest.mark.parametrize("why", NOT_PLAIN)
def test_whatever_is_not_plain_goes_the_usual_way(
    why: str, make_samples: Make, same_weights: Make, seen: list[int]
) -> None:
    def make() -> nn.Module:
        torch.manual_seed(3)
        return NOT_PLAIN[why]()

    runs = [train(make, make_samples(), on) for on in (True, False)]
    assert same_weights(runs[0][0], runs[1][0])
    assert seen == []


def test_a_loss_of_ones_own_and_hooks_on_batches_go_the_usual_way(
    make_samples: Make, same_weights: Make, seen: list[int]
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
        runs = [train(mlp, make_samples(), on, **{k: v() for k, v in kwargs.items()}) for on in (True, False)]
        assert same_weights(runs[0][0], runs[1][0])
        assert runs[0][1] == runs[1][1]
    assert seen == []


def test_autocast_around_the_training_goes_the_usual_way(make_samples: Make, seen: list[int]) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        train(mlp, make_samples(), True)
    assert seen == []
