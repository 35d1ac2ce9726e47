"""How often the gate errs, on made-up cells: equal models are seldom promoted, better ones mostly."""

from __future__ import annotations

import numpy as np
import pytest

from battery_core.release.promotion import ComparisonInputs, decide
from battery_core.release.settings import ReleaseSettings

POLICY = ReleaseSettings(required_baselines=(), slice_checks=("worst_cell",))


def promoted(nights: int, n_cells: int, noise: float, better: float) -> float:
    """Share of nights that promote a newcomer whose errors are smaller by this share, but for the noise of training.

    Cells differ in how hard they are (standard deviation of logarithms 0.5), and each training errs on each of them
    ``noise`` more or less; so errors are skewed.
    """
    rng, wins = np.random.default_rng(0), 0
    names = [str(i) for i in range(n_cells)]
    for _ in range(nights):
        ours, theirs = np.exp(rng.normal(0, 0.5, n_cells) + rng.normal(0, noise, (2, n_cells)))
        errors = (dict(zip(names, found, strict=True)) for found in (ours * (1 - better), theirs))
        wins += decide(ComparisonInputs(*errors, "version 3", {}, n_cells, n_cells), POLICY).promote
    return wins / nights


@pytest.mark.parametrize(("n_cells", "noise"), [(6, 0.15), (8, 0.25), (13, 0.11)])
def test_equal_models_are_promoted_in_under_5_of_100_nights(n_cells: int, noise: float) -> None:
    assert promoted(600, n_cells, noise, better=0.0) < 0.05  # the bootstrap alone: 0.08 with 5 or 6 cells


@pytest.mark.parametrize(("n_cells", "noise"), [(13, 0.08), (20, 0.09)])
def test_a_model_10_percent_better_is_promoted_in_over_80_of_100(n_cells: int, noise: float) -> None:
    assert promoted(300, n_cells, noise, better=0.1) > 0.8  # with the margin in both tests: 0.73
