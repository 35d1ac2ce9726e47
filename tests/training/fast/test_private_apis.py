"""Each private API of torch works as the fast path needs, and its absence leads to the eager path."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from battery_core.training import Trainer
from battery_core.training.fast import fused
from battery_core.training.fast.private_apis import PRIVATE_APIS, TRIED_VERSIONS, PrivateAPI, unusable_apis

CONFIG: dict[str, Any] = {"epochs": 2, "batch_size": 16, "device": "cpu"}


@pytest.fixture
def fresh_probes() -> Iterator[None]:
    """Run the probes again in this test, and again after it."""
    unusable_apis.cache_clear()
    yield
    unusable_apis.cache_clear()


@pytest.mark.parametrize("api", PRIVATE_APIS, ids=lambda api: api.name)
def test_the_private_api_works(api: PrivateAPI) -> None:
    assert api.works(), (
        f"torch {torch.__version__} lacks or has changed {api.name} ({api.purpose}); tried with "
        f"{', '.join(TRIED_VERSIONS)}: training runs eagerly, adapt training/fast or exclude this version of torch"
    )


def test_this_version_of_torch_was_tried() -> None:
    assert ".".join(torch.__version__.split(".")[:2]) in TRIED_VERSIONS, "run this file and extend TRIED_VERSIONS"


def _raise(*args: Any, **kwargs: Any) -> Any:
    raise AttributeError("gone")


BROKEN: dict[str, tuple[Any, str, Any]] = {
    "torch.ops.aten.threshold_backward": (torch.ops.aten, "threshold_backward", None),
    "torch.ops.aten.tanh_backward": (torch.ops.aten, "tanh_backward", None),
    "torch.ops.aten.silu_backward": (torch.ops.aten, "silu_backward", None),
    "torch.ops.aten.gelu_backward": (torch.ops.aten, "gelu_backward", None),
    "torch.ops.aten.mse_loss_backward": (torch.ops.aten, "mse_loss_backward", None),
    "random numbers of torch.nn.functional.dropout": (nn.functional, "dropout", lambda x, p: x),
    "torch.nn.modules.module._has_any_global_hook": (nn.modules.module, "_has_any_global_hook", _raise),
    "torch._foreach_norm and torch._foreach_mul_": (torch, "_foreach_norm", _raise),
    "torch._fused_adamw_ and torch._foreach_add_": (torch, "_fused_adamw_", _raise),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_private_api_that_is_gone_is_named(name: str, fresh_probes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*BROKEN[name])
    assert name in unusable_apis()


def test_auto_runs_eagerly_where_an_api_is_gone(
    make_samples: Callable[..., Any],
    make_mlp: Callable[..., Any],
    same_weights: Callable[..., bool],
    fresh_probes: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fast = make_mlp()
    Trainer(fast, CONFIG).fit(make_samples())
    unusable_apis.cache_clear()
    monkeypatch.setattr(torch.ops.aten, "threshold_backward", None)
    monkeypatch.setattr(fused.FusedBackend, "__init__", _raise)
    slow = make_mlp()
    with caplog.at_level(logging.WARNING):
        Trainer(slow, CONFIG).fit(make_samples())
    (record,) = caplog.records
    assert "lacks or has changed torch.ops.aten.threshold_backward" in record.getMessage()
    assert "training runs eagerly" in record.getMessage()
    assert same_weights(fast, slow)


def test_probes_leave_the_random_generator_alone(fresh_probes: None) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    unusable_apis()
    assert torch.equal(torch.get_rng_state(), before)
