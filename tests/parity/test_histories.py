"""Models of histories: padded, irregular batches equal the same cells one by one; the ODE equals its closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from battery_core.data.samples.sample import Sample, SampleMeta, Samples
from battery_core.models.lstm_attention import LSTMAttentionModel
from battery_core.models.neural_ode import NeuralODEModel
from battery_core.models.nn.base import TorchModel
from battery_core.models.nn.ode import integrate
from battery_core.training import Trainer

LENGTHS = [1, 7, 3, 12, 5]


def histories(lengths: list[int] = LENGTHS, seed: int = 0) -> list[Sample]:
    rng = np.random.default_rng(seed)
    samples = []
    for i, steps in enumerate(lengths):
        t = 37.0 * i + np.cumsum(rng.uniform(0.5, 60, steps))  # every cell on days of its own
        x = rng.normal(size=(steps, 4)).astype(np.float32)
        samples.append(
            Sample(SampleMeta(f"c{i}", steps - 1), x, np.array([0.9 + 0.05 * x[-1, 0]]), t=t.astype(np.float32))
        )
    return samples


def lstm() -> TorchModel:
    torch.manual_seed(0)
    return LSTMAttentionModel(4, hidden_dim=8, num_layers=2, n_heads=2, dropout=0.2)


def ode(**settings: Any) -> NeuralODEModel:
    torch.manual_seed(0)
    return NeuralODEModel(4, latent_dim=5, hidden_dim=8, **settings)


def ode_dopri5() -> TorchModel:
    return ode(solver="dopri5", rtol=1e-6, atol=1e-8)


def estimate(model: TorchModel, samples: list[Sample] | Samples) -> Any:
    batch = Samples.stack(samples)
    return model.predict(batch.x, mask=batch.mask, t=batch.t)


@pytest.mark.parametrize("make", [lstm, ode, ode_dopri5])
def test_a_padded_batch_equals_one_by_one(make: Callable[[], TorchModel]) -> None:
    model, samples = make(), histories()
    one_by_one = np.concatenate([estimate(model, [sample]) for sample in samples])
    np.testing.assert_allclose(estimate(model, samples), one_by_one, rtol=0, atol=2e-6)


@pytest.mark.parametrize("make", [lstm, ode])
def test_what_stands_in_the_padding_and_where_it_stands_plays_no_part(make: Callable[[], TorchModel]) -> None:
    model, batch = make(), Samples.stack(histories())
    assert batch.mask is not None
    assert batch.t is not None
    want = estimate(model, batch)
    batch.x[~batch.mask] = 1e6
    np.testing.assert_array_equal(estimate(model, batch), want)
    front = Samples(batch.x.copy(), batch.y, batch.meta, batch.mask.copy(), batch.t.copy())
    for i, steps in enumerate(LENGTHS):  # padding in front of the history
        for part in (front.x, front.mask, front.t):
            assert part is not None
            part[i] = np.roll(part[i], 12 - steps, axis=0)
    np.testing.assert_allclose(estimate(model, front), want, rtol=0, atol=2e-6)


@pytest.mark.parametrize("make", [lstm, ode])
def test_gradients_of_a_padded_batch_are_the_sum_of_single_ones(make: Callable[[], TorchModel]) -> None:
    def gradients(batches: list[list[Sample]]) -> list[Tensor]:
        model = make().eval()
        for samples in batches:
            batch = Samples.stack(samples)
            assert batch.mask is not None
            assert batch.t is not None
            parts = [torch.from_numpy(part) for part in (batch.x, batch.mask, batch.t)]
            model(*parts).sum().backward()
        return [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]

    samples = histories()
    for whole, single in zip(gradients([samples]), gradients([[s] for s in samples]), strict=True):
        torch.testing.assert_close(whole, single, rtol=1e-4, atol=2e-5)


def test_an_empty_history_is_finite() -> None:
    for model in (lstm(), ode()):
        out = model(torch.zeros(2, 3, 4), mask=torch.zeros(2, 3, dtype=torch.bool))
        assert torch.isfinite(out).all()


class Linear(nn.Module):
    """dz/dt = A z."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[-0.3, 0.8], [-0.8, -0.1]], dtype=torch.float64))

    def forward(self, state: Tensor) -> Tensor:
        return state @ self.matrix.T


TIMES = torch.tensor([[0.0, 0.5, 2.0, 2.0], [1.0, 1.1, 4.0, 9.0], [3.0, 3.0, 3.0, 3.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [
        ({"solver": "rk4", "n_steps": 40}, 1e-5),
        ({"solver": "midpoint", "n_steps": 400}, 1e-3),
        ({"solver": "dopri5", "rtol": 1e-8, "atol": 1e-10}, 1e-7),
        ({"solver": "dopri5", "rtol": 1e-8, "atol": 1e-10, "adjoint": True}, 1e-7),
        ({"solver": "rk4", "n_steps": 40, "adjoint": True}, 1e-5),
    ],
)
def test_a_linear_ode_equals_its_closed_form_at_each_samples_own_times(settings: Any, tolerance: float) -> None:
    rate = Linear()
    start = torch.tensor([[1.0, 0.0], [0.5, -1.0], [2.0, 2.0]], dtype=torch.float64)
    got = integrate(rate, start, TIMES, **settings)
    elapsed = TIMES - TIMES[:, :1]
    want = torch.einsum("bkij,bj->bki", torch.matrix_exp(elapsed[..., None, None] * rate.matrix), start)
    torch.testing.assert_close(got, want, rtol=0, atol=tolerance)
    (by_solver,) = torch.autograd.grad(got.sum(), rate.matrix)
    (by_form,) = torch.autograd.grad(want.sum(), rate.matrix)
    torch.testing.assert_close(by_solver, by_form, rtol=0, atol=200 * tolerance)


def test_a_fixed_step_solver_refuses_nothing_and_converges_to_the_adaptive_one() -> None:
    samples = histories()
    want = estimate(ode_dopri5(), samples)
    errors = [np.abs(estimate(ode(n_steps=n), samples) - want).max() for n in (1, 4, 16)]
    assert errors[2] < 1e-6
    assert errors[0] > errors[2]


def test_attention_weights_sum_to_one_on_real_rows() -> None:
    model, batch = lstm(), Samples.stack(histories())
    assert isinstance(model, LSTMAttentionModel)
    assert batch.mask is not None
    before = {name for name, _ in model.named_buffers()} | set(vars(model))
    assert batch.t is not None
    weights = model.explain(*[torch.from_numpy(part) for part in (batch.x, batch.mask, batch.t)])
    assert weights.shape == (5, 2, 12)
    torch.testing.assert_close(weights.sum(-1), torch.ones(5, 2))
    assert (weights[~torch.from_numpy(batch.mask).unsqueeze(1).expand_as(weights)] == 0).all()
    assert {name for name, _ in model.named_buffers()} | set(vars(model)) == before


def test_the_trajectory_ends_at_the_estimate() -> None:
    model, batch = ode(n_steps=16), Samples.stack(histories())
    parts = [torch.from_numpy(part) for part in (batch.x, batch.mask, batch.t) if part is not None]
    path = model.explain(*parts, points=9)
    assert path.latent.shape == (5, 9, 5)
    np.testing.assert_allclose(path.soh[:, -1].numpy(), estimate(model, batch), atol=1e-5)
    assert (path.days[:, -1] == torch.tensor([s.t[-1] for s in histories()])).all()


@pytest.mark.parametrize("make", [lstm, ode])
def test_the_trainer_teaches_histories(make: Callable[[], TorchModel]) -> None:
    train, val = histories([3, 9, 5, 8, 6, 12, 4, 7] * 4), histories([6, 4, 11], seed=1)
    model = make()
    history = Trainer(model, {"epochs": 15, "batch_size": 8, "learning_rate": 0.01, "device": "cpu"}).fit(train, val)
    assert history["train_loss"][-1] < 0.2 * history["train_loss"][0]
    np.testing.assert_allclose(Trainer(model).predict(val), estimate(model, val), atol=1e-6)
