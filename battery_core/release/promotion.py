"""Whether the newcomer serves: a pure decision with its reason in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from battery_core.release.settings import ReleaseSettings


@dataclass(frozen=True)
class Decision:
    """The outcome and why."""

    promote: bool
    reason: str


@dataclass(frozen=True)
class Contest:
    """What is compared: mean per-cell MAPE in % on the same test rows, scored at the same moment.

    Args:
        challenger: the newcomer's error.
        champion: the serving version's error on the same rows; None when nothing serves yet.
        champion_name: how to call it, such as "version 3".
        baselines: error of each baseline on the same rows.
        unseen_cells: test cells the champion was not trained on; the contest is on these.
        test_cells: all test cells.
        dirty: code in the working tree differs from the commit the run will be remembered by.
    """

    challenger: float
    champion: float | None
    champion_name: str
    baselines: Mapping[str, float]
    unseen_cells: int
    test_cells: int
    dirty: bool = False


def decide(contest: Contest, policy: ReleaseSettings) -> Decision:
    """Promote or not. NaN never promotes, neither does a model that a simple baseline beats.

    Example:
        >>> contest = Contest(0.8, 1.0, "version 3", {"train_mean": 4.0, "linear_throughput": 2.0}, 5, 5)
        >>> decide(contest, ReleaseSettings())
        Decision(promote=True, reason='0.80 % is 20.0 % below version 3 (1.00 %) on 5 test cells')
    """
    refusal = _refusal(contest, policy)
    if refusal:
        return Decision(False, refusal)
    ours, theirs = contest.challenger, contest.champion
    cells = f"on {contest.unseen_cells} test cells"
    if theirs is None:
        beaten = ", ".join(f"{name} {contest.baselines[name]:.2f} %" for name in policy.must_beat)
        return Decision(True, f"first champion: {ours:.2f} % {cells} beats {beaten}")
    if not math.isfinite(theirs):
        return Decision(True, f"{contest.champion_name} no longer gives finite predictions; {ours:.2f} % {cells}")
    gain = 100 * (1 - ours / theirs) if theirs > 0 else 0.0
    if gain < 100 * policy.min_gain or gain <= 0:
        change = f"{abs(gain):.1f} % {'below' if gain > 0 else 'above'}" if gain else "equal to"
        needed = f"at least {100 * policy.min_gain:.1f} % less is needed"
        return Decision(False, f"{ours:.2f} % is {change} {contest.champion_name} ({theirs:.2f} %) {cells}; {needed}")
    return Decision(True, f"{ours:.2f} % is {gain:.1f} % below {contest.champion_name} ({theirs:.2f} %) {cells}")


def _refusal(contest: Contest, policy: ReleaseSettings) -> str:
    """Why there is no contest at all; empty when there is one."""
    ours = contest.challenger
    if not math.isfinite(ours):
        return f"the challenger's error is {ours}: its predictions are not all finite"
    for name in policy.must_beat:
        if not ours < contest.baselines[name]:
            return f"{ours:.2f} % does not beat the baseline {name} ({contest.baselines[name]:.2f} %)"
    if contest.champion is not None and contest.unseen_cells == 0:
        return (
            f"{contest.champion_name} was trained on all {contest.test_cells} test cells: its score there is a leak; "
            "keep the frozen split, or start a new line with release.registered_model"
        )
    if contest.dirty and not policy.allow_dirty:
        return (
            "the working tree has code that is not committed: nobody could rebuild this model; commit, then run again"
        )
    return ""
