"""When the newcomer serves: a table of cases, each with its reason in words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from battery_core.release.promotion import ComparisonInputs, decide
from battery_core.release.settings import ReleaseSettings

NAN, INF = float("nan"), float("inf")
BASELINES = {"train_mean": 4.0, "linear_throughput": 2.0, "persistence": 0.5}
CELLS = ("a", "b", "c", "d", "e", "f")
SPREAD = (0.6, 0.8, 1.0, 1.0, 1.2, 1.4)  # mean 1


def errors(mean: float) -> dict[str, float]:
    return {cell: mean * part for cell, part in zip(CELLS, SPREAD, strict=True)}


def mixed(*factors: float) -> dict[str, float]:
    """Each cell's error times its own factor."""
    return {cell: error * factor for (cell, error), factor in zip(errors(1.0).items(), factors, strict=True)}


SLICES = {"temperature": {"10 degC": ("a", "b"), "25 degC": ("c", "d", "e", "f")}}
USUAL = ComparisonInputs(errors(1.0), errors(1.25), "version 3", BASELINES, unseen_cells=6, test_cells=6, slices=SLICES)


@pytest.mark.parametrize(
    ("changes", "policy", "promote", "reason"),
    [
        ({}, {}, True,
         "1.00 % is 20.0 % below version 3 (1.25 %) on 6 test cells; at least 20.0 % with 95 % confidence"),
        # the challenger itself
        ({"challenger": errors(NAN)}, {}, False, "the challenger's error is nan: its predictions are not all finite"),
        ({"challenger": errors(INF)}, {}, False, "the challenger's error is inf: its predictions are not all finite"),
        ({"challenger": mixed(1, 1, 1, NAN, 1, 1)}, {}, False, "the challenger's error is nan"),
        ({"challenger": errors(NAN), "champion": None}, {}, False, "the challenger's error is nan"),
        ({"challenger": errors(NAN), "champion": errors(NAN)}, {}, False, "the challenger's error is nan"),
        # what the leak tests found
        ({"blocking_reason": "predictions change"}, {}, False, "predictions change"),
        ({"blocking_reason": "predictions change", "champion": None}, {}, False, "predictions change"),
        # baselines
        ({"challenger": errors(4.5)}, {}, False, "4.50 % does not beat the baseline train_mean (4.00 %)"),
        ({"challenger": errors(3.0)}, {}, False, "3.00 % does not beat the baseline linear_throughput (2.00 %)"),
        ({"challenger": errors(2.0), "champion": errors(9.0)}, {}, False,
         "does not beat the baseline linear_throughput"),
        ({"challenger": errors(3.0), "champion": None}, {}, False, "does not beat the baseline linear_throughput"),
        ({"baselines": BASELINES | {"train_mean": NAN}}, {}, False, "does not beat the baseline train_mean (nan %)"),
        ({}, {"required_baselines": ("persistence",)}, False, "1.00 % does not beat the baseline persistence (0.50 %)"),
        ({"challenger": errors(3.0), "champion": errors(3.9)}, {"required_baselines": ()}, True,
         "3.00 % is 23.1 % below version 3"),
        # the first champion
        ({"champion": None, "champion_name": ""}, {}, True,
         "first champion: 1.00 % on 6 test cells beats train_mean 4.00 %, linear_throughput 2.00 %"),
        ({"champion": None, "champion_name": ""}, {"required_baselines": ()}, True,
         "first champion: 1.00 % on 6 test cells"),
        # margins
        ({"champion": errors(1.0)}, {}, False, "1.00 % is equal to version 3 (1.00 %) on 6 test cells; 2.0 % needed"),
        ({"champion": errors(1.0)}, {"min_improvement": 0.0}, False, "1.00 % is equal to version 3"),
        ({"champion": errors(1.01)}, {}, False,
         "1.00 % is 1.0 % below version 3 (1.01 %) on 6 test cells; 2.0 % needed"),
        ({"champion": errors(1.01)}, {"min_improvement": 0.0}, True, "1.00 % is 1.0 % below version 3 (1.01 %)"),
        ({"champion": errors(1.03)}, {}, True, "1.00 % is 2.9 % below version 3 (1.03 %) on 6 test cells"),
        ({"champion": errors(0.8)}, {}, False, "1.00 % is 25.0 % above version 3 (0.80 %) on 6 test cells"),
        ({"champion": errors(0.0)}, {}, False, "version 3 (0.00 %)"),
        # better on the whole, but by chance: two cells gain much, the others lose
        ({"champion": mixed(0.95, 0.95, 0.95, 0.95, 1.6, 1.6)}, {}, False,
         "1.00 % is 18.8 % below version 3 (1.23 %) on 6 test cells, but only"),
        ({"champion": mixed(0.95, 0.95, 0.95, 0.95, 1.6, 1.6)}, {"confidence": 0.5}, True, "18.8 % below version 3"),
        # surely better, but not surely by the margin
        ({"champion": mixed(1.06, 1.05, 1.03, 1.01, 1.01, 1.01)}, {}, False,
         "1.00 % is 2.3 % below version 3 (1.02 %) on 6 test cells, but only 1.4 % with 95 % confidence, "
         "equal models reach this with probability 0.02; 2.0 % needed"),
        # two cells hardly better: sure of the margin by the bootstrap, and not by chance
        ({"champion": mixed(1.3, 1.3, 1.3, 1.3, 1.005, 1.005)}, {}, True, "14.7 % below version 3 (1.17 %)"),
        # better on easy cells, worse on the whole
        ({"challenger": mixed(0.6, 0.6, 0.8, 0.8, 1.4, 1.5), "champion": errors(1.0)}, {}, False,
         "1.04 % is 3.7 % above version 3 (1.00 %) on 6 test cells; 2.0 % needed"),
        # four of five cells better: the bootstrap is sure of it, but two of 32 coins fall so well
        ({"challenger": dict(zip("abcde", (1, 1, 1, 1, 1.05), strict=True)),
          "champion": dict(zip("abcde", (1.3, 1.3, 1.3, 1.3, 1), strict=True)), "unseen_cells": 5, "slices": {}},
         {}, False, "with 95 % confidence, equal models reach this with probability 0.06; 2.0 % needed"),
        # too few cells to show anything at this confidence
        ({"challenger": {"a": 1.0, "b": 1.0}, "champion": {"a": 2.0, "b": 2.0}, "unseen_cells": 2, "slices": {}},
         {}, False,
         "equal models reach this with probability 0.25; 2.0 % needed; more test cells are needed to show it"),
        # guarded conditions
        ({"champion": mixed(0.5, 0.5, 2, 2, 2, 2)}, {"confidence": 0.5}, False,
         "but temperature 10 degC: 0.70 % against 0.35 %; at most 25 % more is allowed"),
        ({"champion": mixed(0.5, 0.5, 2, 2, 2, 2)}, {"confidence": 0.5, "max_slice_regression": 1.01}, True,
         "below version 3"),
        ({"champion": mixed(0.5, 0.5, 2, 2, 2, 2)}, {"confidence": 0.5, "slice_checks": ("worst_cell",)}, True,
         "below version 3"),
        ({"champion": mixed(1.8, 1.38, 1.1, 1.1, 0.92, 0.78)}, {"confidence": 0.5, "slice_checks": ("worst_cell",)},
         False,
         "but worst cell: 1.40 % against "),
        # the champion knows the test cells
        ({"unseen_cells": 0, "champion": {}}, {}, False,
         "version 3 was trained on all 6 test cells: its score there is a leak; keep the frozen split"),
        # the champion no longer predicts
        ({"champion": errors(NAN)}, {}, True, "version 3 no longer gives finite predictions; 1.00 % on 6 test cells"),
        ({"champion": errors(NAN), "challenger": errors(3.0)}, {}, False,
         "does not beat the baseline linear_throughput"),
        # uncommitted code
        ({"dirty": True}, {}, False, "code that is not committed: this model could not be rebuilt"),
        ({"dirty": True, "champion": None}, {}, False, "the working tree has code that is not committed"),
        ({"dirty": True}, {"allow_dirty": True}, True, "1.00 % is 20.0 % below version 3"),
        ({"dirty": True, "challenger": errors(NAN)}, {"allow_dirty": True}, False, "the challenger's error is nan"),
    ],
)  # fmt: skip
def test_decisions(changes: dict[str, Any], policy: dict[str, Any], promote: bool, reason: str) -> None:
    decision = decide(dataclasses.replace(USUAL, **changes), ReleaseSettings(**policy))
    assert decision.promote is promote, decision.reason
    assert reason in decision.reason
    assert "\n" not in decision.reason
