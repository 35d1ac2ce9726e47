"""The promotion rule: a pure decision with its reason in words."""

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
    """Whether to promote the challenger, and why."""

    promote: bool
    reason: str


@dataclass(frozen=True)
class ComparisonInputs:
    """Errors of challenger and champion on the same test cells, scored at the same moment.

    Args:
        challenger: the challenger's error of each cell.
        champion: the champion's error of the same cells; None without a champion.
        champion_name: its name in reasons, such as "version 3".
        baselines: mean per-cell error of each baseline on the same rows, %.
        unseen_cells: number of test cells that the champion was not trained on; the comparison uses these.
        test_cells: number of all test cells.
        slices: kind of condition (temperature or group) -> condition -> its cells.
        blocking_reason: why the two cannot be compared: a leak, or labels of another definition.
        dirty: whether code in the working tree differs from the commit that the run records.
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


def decide(inputs: ComparisonInputs, policy: ReleaseSettings) -> Decision:
    """Decide whether the challenger is promoted. NaN never promotes, neither does a model that a baseline beats.

    A champion is replaced only by a model that is better by ``min_improvement`` with the stated confidence (lower bound of a
    paired bootstrap over cells), as no equal of the champion would be by chance (sign flips, exact for few cells, where
    the bootstrap's bound is too narrow), and that passes the slice checks. Both tests use the mean error: a model that
    is better on many easy cells and worse on average does not pass. Only the bootstrap uses the margin: with it in both
    tests, a model that is 10 % better is missed more often.

    Example:
        >>> errors = {"A": 0.8, "B": 1.6, "C": 0.4, "D": 1.2, "E": 0.6}
        >>> twice = {cell: 2 * error for cell, error in errors.items()}
        >>> baselines = {"train_mean": 4, "linear_throughput": 3}
        >>> decide(ComparisonInputs(errors, twice, "version 3", baselines, 5, 5), ReleaseSettings())
        Decision(promote=True, reason='0.92 % is 50.0 % below version 3 (1.84 %) on 5 test cells; at least 50.0 % with \
95 % confidence, 2.0 % needed')
    """  # noqa: E501
    obstacle = _obstacle(inputs, policy)
    if obstacle:
        return Decision(False, obstacle)
    error, cells = mean(inputs.challenger), f"on {inputs.unseen_cells} test cells"
    if inputs.champion is None:
        beaten = ", ".join(f"{name} {inputs.baselines[name]:.2f} %" for name in policy.required_baselines)
        return Decision(True, f"first champion: {error:.2f} % {cells}" + (f" beats {beaten}" if beaten else ""))
    if not math.isfinite(mean(inputs.champion)):
        return Decision(True, f"{inputs.champion_name} no longer gives finite predictions; {error:.2f} % {cells}")
    return _compare_with_champion(inputs, inputs.champion, policy)


def mean(errors: Errors) -> float:
    """Return the mean over cells; NaN without cells."""
    return float(np.mean(list(errors.values()))) if errors else math.nan


def _compare_with_champion(inputs: ComparisonInputs, champion: Errors, policy: ReleaseSettings) -> Decision:
    order = sorted(inputs.challenger)
    gain = paired_gain([inputs.challenger[c] for c in order], [champion[c] for c in order], policy.confidence)
    result = _describe(inputs, champion, gain)
    confidence = f"{policy.confidence:.0%}".replace("%", " %")
    needed = f"{100 * policy.min_improvement:.1f} % needed"
    if not (gain.gain > 0 and gain.gain >= policy.min_improvement):
        return Decision(False, f"{result}; {needed}")
    if gain.low < policy.min_improvement or gain.p_value > 1 - policy.confidence:
        chance = f"equal models reach this with probability {gain.p_value:.2f}"
        few = "" if 0.5**gain.n_cells <= 1 - policy.confidence else "; more test cells are needed to show it"
        bound = f"only {100 * gain.low:.1f} % with {confidence} confidence"
        return Decision(False, f"{result}, but {bound}, {chance}; {needed}{few}")
    for worse in _worse_slices(inputs, champion, policy):
        return Decision(False, f"{result}, but {worse}")
    return Decision(True, f"{result}; at least {100 * gain.low:.1f} % with {confidence} confidence, {needed}")


def _describe(inputs: ComparisonInputs, champion: Errors, gain: Gain) -> str:
    percent = 100 * gain.gain
    change = f"{abs(percent):.1f} % {'below' if percent > 0 else 'above'}" if percent else "equal to"
    return (
        f"{mean(inputs.challenger):.2f} % is {change} {inputs.champion_name} ({mean(champion):.2f} %) "
        f"on {inputs.unseen_cells} test cells"
    )


def _worse_slices(inputs: ComparisonInputs, champion: Errors, policy: ReleaseSettings) -> Iterator[str]:
    """Yield the slices in which the challenger is worse than the tolerance allows."""
    allowed = f"at most {policy.max_slice_regression:.0%} more is allowed".replace("%", " %")
    for check in policy.slice_checks:
        if check == WORST_CELL:
            pairs = {"": (max(inputs.challenger.values()), max(champion.values()))}
        else:
            pairs = {
                f" {condition}": (_mean_of(inputs.challenger, cells), _mean_of(champion, cells))
                for condition, cells in inputs.slices.get(check, {}).items()
            }
        for condition, (error, champion_error) in pairs.items():
            if error > champion_error * (1 + policy.max_slice_regression):
                yield f"{check.replace('_', ' ')}{condition}: {error:.2f} % against {champion_error:.2f} %; {allowed}"


def _mean_of(errors: Errors, cells: tuple[str, ...]) -> float:
    return mean({cell: errors[cell] for cell in cells})


def _obstacle(inputs: ComparisonInputs, policy: ReleaseSettings) -> str:
    """Return why the challenger is refused before any comparison with the champion, or ""."""
    if not inputs.challenger:
        return "no test cell has a check-up to compare: SOH is relative to the first one, which is 1 by definition"
    error = mean(inputs.challenger)
    if not math.isfinite(error):
        return f"the challenger's error is {error}: its predictions are not all finite"
    if inputs.blocking_reason:
        return inputs.blocking_reason
    for name in policy.required_baselines:
        if not error < inputs.baselines[name]:
            return f"{error:.2f} % does not beat the baseline {name} ({inputs.baselines[name]:.2f} %)"
    if inputs.champion is not None and inputs.unseen_cells == 0:
        return (
            f"{inputs.champion_name} was trained on all {inputs.test_cells} test cells: its score there is a leak; "
            "keep the frozen split, or register under another name with release.registered_model"
        )
    if inputs.dirty and not policy.allow_dirty:
        return (
            "the working tree has code that is not committed: this model could not be rebuilt; commit, then run again"
        )
    return ""
