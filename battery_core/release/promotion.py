"""Whether the newcomer serves: a pure decision with its reason in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from battery_core.evaluation.metrics.bootstrap import Gain, paired_gain
from battery_core.release.settings import WORST_CELL, ReleaseSettings

Errors = Mapping[str, float]
"""Mean absolute percentage error of each test cell, %."""


@dataclass(frozen=True)
class Decision:
    """The outcome and why."""

    promote: bool
    reason: str


@dataclass(frozen=True)
class ComparisonInputs:
    """What is compared: errors of the same test cells, scored at the same moment.

    Args:
        challenger: the newcomer's error of each cell.
        champion: the serving version's error of the same cells; None when nothing serves yet.
        champion_name: how to call it, such as "version 3".
        baselines: mean per-cell error of each baseline on the same rows, %.
        unseen_cells: test cells the champion was not trained on; the contest is on these.
        test_cells: all test cells.
        slices: what is guarded: temperature or group -> its condition -> the cells.
        objection: why there must be no contest: a leak that was found, labels that mean something else.
        dirty: code in the working tree differs from the commit the run will be remembered by.
    """

    challenger: Errors
    champion: Errors | None
    champion_name: str
    baselines: Mapping[str, float]
    unseen_cells: int
    test_cells: int
    slices: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    blocking_reason: str = ""
    dirty: bool = False


def decide(contest: ComparisonInputs, policy: ReleaseSettings) -> Decision:
    """Promote or not. NaN never promotes, neither does a model that a simple baseline beats.

    A champion is replaced only by a model that is better by ``min_improvement`` with the stated confidence (lower bound of a
    paired bootstrap over cells), as no equal of the champion would be by chance (sign flips, exact for few cells, where
    the bootstrap's bound is too bold), and that is not worse beyond the tolerance at any guarded condition. Both tests
    are of the mean error: a model that is better on many easy cells and worse on the whole does not pass. The margin is
    the bootstrap's alone: in both it would be asked for twice, and a model 10 % better is then missed more often.

    Example:
        >>> errors = {"A": 0.8, "B": 1.6, "C": 0.4, "D": 1.2, "E": 0.6}
        >>> twice = {cell: 2 * error for cell, error in errors.items()}
        >>> baselines = {"train_mean": 4, "linear_throughput": 3}
        >>> decide(ComparisonInputs(errors, twice, "version 3", baselines, 5, 5), ReleaseSettings())
        Decision(promote=True, reason='0.92 % is 50.0 % below version 3 (1.84 %) on 5 test cells; at least 50.0 % with \
95 % confidence, 2.0 % needed')
    """  # noqa: E501
    refusal = _refusal(contest, policy)
    if refusal:
        return Decision(False, refusal)
    ours, cells = mean(contest.challenger), f"on {contest.unseen_cells} test cells"
    if contest.champion is None:
        beaten = ", ".join(f"{name} {contest.baselines[name]:.2f} %" for name in policy.required_baselines)
        return Decision(True, f"first champion: {ours:.2f} % {cells}" + (f" beats {beaten}" if beaten else ""))
    if not math.isfinite(mean(contest.champion)):
        return Decision(True, f"{contest.champion_name} no longer gives finite predictions; {ours:.2f} % {cells}")
    return _against_champion(contest, contest.champion, policy)


def mean(errors: Errors) -> float:
    """Mean over cells; NaN without cells."""
    return float(np.mean(list(errors.values()))) if errors else math.nan


def _against_champion(contest: ComparisonInputs, champion: Errors, policy: ReleaseSettings) -> Decision:
    order = sorted(contest.challenger)
    gain = paired_gain([contest.challenger[c] for c in order], [champion[c] for c in order], policy.confidence)
    said = _comparison(contest, champion, gain)
    sure = f"{policy.confidence:.0%}".replace("%", " %")
    needed = f"{100 * policy.min_improvement:.1f} % needed"
    if not (gain.gain > 0 and gain.gain >= policy.min_improvement):
        return Decision(False, f"{said}; {needed}")
    if gain.low < policy.min_improvement or gain.p_value > 1 - policy.confidence:
        chance = f"chance alone does as well with probability {gain.p_value:.2f}"
        few = "" if 0.5**gain.n_cells <= 1 - policy.confidence else "; so few cells can never show it"
        return Decision(False, f"{said}, but only {100 * gain.low:.1f} % is sure at {sure}, {chance}; {needed}{few}")
    for worse in _worse_slices(contest, champion, policy):
        return Decision(False, f"{said}, but {worse}")
    return Decision(True, f"{said}; at least {100 * gain.low:.1f} % with {sure} confidence, {needed}")


def _comparison(contest: ComparisonInputs, champion: Errors, gain: Gain) -> str:
    percent = 100 * gain.gain
    change = f"{abs(percent):.1f} % {'below' if percent > 0 else 'above'}" if percent else "equal to"
    return (
        f"{mean(contest.challenger):.2f} % is {change} {contest.champion_name} ({mean(champion):.2f} %) "
        f"on {contest.unseen_cells} test cells"
    )


def _worse_slices(contest: ComparisonInputs, champion: Errors, policy: ReleaseSettings) -> Iterator[str]:
    """Guarded conditions at which the newcomer is worse than the tolerance allows."""
    allowed = f"at most {policy.max_slice_regression:.0%} more is allowed".replace("%", " %")
    for guard in policy.slice_checks:
        if guard == WORST_CELL:
            pairs = {"": (max(contest.challenger.values()), max(champion.values()))}
        else:
            pairs = {
                f" {condition}": (_mean_of(contest.challenger, cells), _mean_of(champion, cells))
                for condition, cells in contest.slices.get(guard, {}).items()
            }
        for condition, (ours, theirs) in pairs.items():
            if ours > theirs * (1 + policy.max_slice_regression):
                yield f"{guard.replace('_', ' ')}{condition}: {ours:.2f} % against {theirs:.2f} %; {allowed}"


def _mean_of(errors: Errors, cells: tuple[str, ...]) -> float:
    return mean({cell: errors[cell] for cell in cells})


def _refusal(contest: ComparisonInputs, policy: ReleaseSettings) -> str:
    """Why there is no contest at all; empty when there is one."""
    if not contest.challenger:
        return "no test cell has a check-up to compare: SOH is relative to the first one, which is 1 by definition"
    ours = mean(contest.challenger)
    if not math.isfinite(ours):
        return f"the challenger's error is {ours}: its predictions are not all finite"
    if contest.blocking_reason:
        return contest.blocking_reason
    for name in policy.required_baselines:
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
