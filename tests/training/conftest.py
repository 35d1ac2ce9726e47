"""Made-up cells that every training test shares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from battery_core.data.samples.sample import SampleMeta, Samples


@pytest.fixture
def make_samples() -> Callable[..., Samples]:
    """Samples of ``cells`` cells with ``checkups`` check-ups each: SOH falls with the index, features know it."""

    def make(cells: int = 6, checkups: int = 10, features: int = 4, seed: int = 0, first: int = 0) -> Samples:
        rng = np.random.default_rng(seed)
        n = cells * checkups
        index = np.tile(np.arange(checkups), cells)
        x = rng.normal(size=(n, features)).astype(np.float32)
        x[:, 0] = index / checkups
        y = 1 - 0.02 * index + 0.01 * x[:, 1]
        meta = [SampleMeta(f"c{first + i // checkups}", int(index[i]), 25.0) for i in range(n)]
        return Samples(x, y, meta)

    return make


@pytest.fixture
def make_mlp() -> Callable[..., nn.Sequential]:
    """A small perceptron whose initial weights follow from the seed."""

    def make(features: int = 4, seed: int = 0, dropout: float = 0.1) -> nn.Sequential:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(features, 8), nn.ReLU(), nn.Dropout(dropout), nn.Linear(8, 1))

    return make


@pytest.fixture
def same_weights() -> Callable[[nn.Module, nn.Module], bool]:
    """Whether two models have the same weights, bit for bit."""

    def same(a: nn.Module, b: nn.Module) -> bool:
        return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))

    return same
