"""When the newcomer serves: a table of cases, each with its reason in words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from battery_core.release.promotion import Contest, decide
from battery_core.release.settings import ReleaseSettings

NAN, INF = float("nan"), float("inf")
BASELINES = {"train_mean": 4.0, "linear_throughput": 2.0, "persistence": 0.5}
USUAL = Contest(1.0, 1.25, "version 3", BASELINES, unseen_cells=5, test_cells=5)


@pytest.mark.parametrize(
    ("changes", "policy", "promote", "reason"),
    [
        ({}, {}, True, "1.00 % is 20.0 % below version 3 (1.25 %) on 5 test cells"),
        # the challenger itself
        ({"challenger": NAN}, {}, False, "the challenger's error is nan: its predictions are not all finite"),
        ({"challenger": INF}, {}, False, "the challenger's error is inf: its predictions are not all finite"),
        ({"challenger": NAN, "champion": None}, {}, False, "the challenger's error is nan"),
        ({"challenger": NAN, "champion": NAN}, {}, False, "the challenger's error is nan"),
        # baselines
        ({"challenger": 4.5}, {}, False, "4.50 % does not beat the baseline train_mean (4.00 %)"),
        ({"challenger": 3.0}, {}, False, "3.00 % does not beat the baseline linear_throughput (2.00 %)"),
        ({"challenger": 2.0, "champion": 9.0}, {}, False, "does not beat the baseline linear_throughput"),
        ({"challenger": 3.0, "champion": None}, {}, False, "does not beat the baseline linear_throughput"),
        ({"baselines": BASELINES | {"train_mean": NAN}}, {}, False, "does not beat the baseline train_mean (nan %)"),
        ({}, {"must_beat": ("persistence",)}, False, "1.00 % does not beat the baseline persistence (0.50 %)"),
        ({"challenger": 3.0, "champion": 3.9}, {"must_beat": ()}, True, "3.00 % is 23.1 % below version 3"),
        # the first champion
        ({"champion": None, "champion_name": ""}, {}, True,
         "first champion: 1.00 % on 5 test cells beats train_mean 4.00 %, linear_throughput 2.00 %"),
        # margins
        ({"champion": 1.0}, {}, False, "1.00 % is equal to version 3 (1.00 %) on 5 test cells; at least 2.0 % less"),
        ({"champion": 1.0}, {"min_gain": 0.0}, False, "1.00 % is equal to version 3"),
        ({"champion": 1.01}, {}, False, "1.00 % is 1.0 % below version 3 (1.01 %) on 5 test cells; at least 2.0 %"),
        ({"champion": 1.01}, {"min_gain": 0.0}, True, "1.00 % is 1.0 % below version 3 (1.01 %)"),
        ({"champion": 1.03}, {}, True, "1.00 % is 2.9 % below version 3 (1.03 %) on 5 test cells"),
        ({"champion": 0.8}, {}, False, "1.00 % is 25.0 % above version 3 (0.80 %) on 5 test cells"),
        ({"champion": 0.0}, {}, False, "version 3 (0.00 %)"),
        # the champion knows the test cells
        ({"unseen_cells": 0, "champion": NAN}, {}, False,
         "version 3 was trained on all 5 test cells: its score there is a leak; keep the frozen split"),
        ({"unseen_cells": 2}, {}, True, "1.00 % is 20.0 % below version 3 (1.25 %) on 2 test cells"),
        ({"unseen_cells": 2, "champion": 0.9}, {}, False, "above version 3 (0.90 %) on 2 test cells"),
        # the champion no longer predicts
        ({"champion": NAN}, {}, True, "version 3 no longer gives finite predictions; 1.00 % on 5 test cells"),
        ({"champion": NAN, "challenger": 3.0}, {}, False, "does not beat the baseline linear_throughput"),
        # uncommitted code
        ({"dirty": True}, {}, False, "the working tree has code that is not committed: nobody could rebuild"),
        ({"dirty": True, "champion": None}, {}, False, "the working tree has code that is not committed"),
        ({"dirty": True}, {"allow_dirty": True}, True, "1.00 % is 20.0 % below version 3"),
        ({"dirty": True, "challenger": NAN}, {"allow_dirty": True}, False, "the challenger's error is nan"),
    ],
)  # fmt: skip
def test_decisions(changes: dict[str, Any], policy: dict[str, Any], promote: bool, reason: str) -> None:
    decision = decide(dataclasses.replace(USUAL, **changes), ReleaseSettings(**policy))
    assert decision.promote is promote, decision.reason
    assert reason in decision.reason
    assert "\n" not in decision.reason
