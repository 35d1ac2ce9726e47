"""The leaderboard as a Markdown page, and as tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from battery_core.evaluation.benchmark.aggregate import is_goal_met
from battery_core.evaluation.benchmark.published_protocol import PUBLISHED
from battery_core.predictors.weighted_ensemble import NAME as ENSEMBLE
from battery_core.reporting.formats import number
from battery_core.reporting.tables.rows import Row, markdown_table, print_table

_COMMAND = "python -m battery_core leaderboard"
_HOW = """# Leaderboard
Error of every model and baseline on unseen public cells. Regenerate (hours on two cores; an interrupted run resumes;
`--leaderboard.train false` reports finished seeds only):

```bash
{command} --page docs/leaderboard.md --data.reference_root /path/to/reference
```

**How to read it.** For each test cell the mean absolute percentage error (MAPE, %) and the root mean square error
(RMSE, points of SOH) over its check-ups, then the mean over cells, then mean ± standard deviation over seeds. Splits,
features and settings: [accuracy](accuracy.md). Models are fitted on training cells; early stopping and ensemble weights
use validation cells; errors are of test cells. *ensemble* is the challenger of each seed: the weighted ensemble, unless
a single model is significantly better on validation cells. *Best model* has the lowest error on the test cells; where
it is not the ensemble, it was selected on test cells and its error is optimistic. Baselines: the mean SOH of the
training rows; a straight line over cycles; persistence, which needs the capacity measured one cycle before; and the
leak probe, which sees only the fraction of life that has passed. The spread over seeds does not include the variation
between cells: in a group of two cells 0.2 is noise.
"""
_LEAKS = """
## The published protocol: data leakage
These figures are comparable with published ones only; no model in production reaches them. The protocol scales each
cell, test cells too, by its own minimum and maximum over its whole life, cycle number included. So the inputs contain
the fraction of life. It also removes rows more than three standard deviations off, test cells and label included.
*only the leak* sees nothing but that scaled cycle number. One fit per group, single perceptron, MAPE in %. Published:
Wang et al., Nature Communications 15, 4332 (2024), 10 runs. The test cells of TJU differ from those of the publication,
which cannot be reproduced.
"""


def leaderboard_page(content: Mapping[str, Any]) -> str:
    """Return the page from the content of ``leaderboard.json``."""
    valid = [benchmark for benchmark in content["benchmarks"] if not benchmark["leaking"]]
    leaking = [benchmark for benchmark in content["benchmarks"] if benchmark["leaking"]]
    sections = [_HOW.format(command=_COMMAND)]
    if valid:
        sections.append(f"\n## Goals\n{markdown_table(goal_table(valid))}")
    sections += [f"\n## {b['benchmark']}\n{_describe(b)}\n\n{markdown_table(model_table(b))}" for b in valid]
    if leaking:
        sections.append(_LEAKS)
        sections += [f"\n### {_leaking_title(b)}\n{markdown_table(published_table(b, valid))}" for b in leaking]
    return "".join(sections)


def goal_table(benchmarks: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return a row a benchmark: the ensemble, the best model, the goal, and whether it is reached."""
    return [
        {
            "benchmark": f"`{benchmark['benchmark']}`",
            "seeds": f"{benchmark['seeds_done']} of {benchmark['seeds']}",
            "ensemble": spread(line["mape"]) if (line := _line(benchmark, ENSEMBLE)) else "",
            "best model": f"{best['model']} {spread(best['mape'])}" if (best := best_model(benchmark)) else "",
            "goal": f"{benchmark['goal']:.2f}" if benchmark["goal"] is not None else "",
            "": _verdict(benchmark),
        }
        for benchmark in benchmarks
    ]


def _verdict(benchmark: Mapping[str, Any]) -> str:
    best, line, goal = best_model(benchmark), _line(benchmark, ENSEMBLE), benchmark["goal"]
    if best is None or line is None:
        return "not measured"
    if goal is None:
        return ""
    if not is_goal_met(best, goal):
        return f"**missed** by {best['mape']['mean'] - goal:.2f}"
    return "holds" if is_goal_met(line, goal) else "holds for the best model, not for the ensemble"


def model_table(benchmark: Mapping[str, Any]) -> list[Row]:
    """Return models by their error, then the baselines; errors of groups where there is more than one."""
    lines = [*benchmark["models"], *benchmark["baselines"]]
    groups = list(lines[0]["groups"]) if lines else []
    return [
        {
            "model": line["model"],
            "MAPE %": spread(line["mape"]),
            "RMSE points": spread(line["rmse"]),
            "worst cell": f"{number(line['worst_mape'])} ({line['worst_cell']})",
            **({group: spread(line["groups"][group]) for group in groups} if len(groups) > 1 else {}),
        }
        for line in lines
    ]


def published_table(benchmark: Mapping[str, Any], valid: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Return a row a group: published errors, ours by the same protocol, and those without leak on the same cells."""
    ours = {line["model"]: line["groups"] for line in benchmark["models"]}
    same = next((one for one in valid if one["benchmark"] == benchmark["source"]), None)
    line = _line(same, ENSEMBLE) if same else None
    return [
        {
            "group": group,
            **{f"{name}, published (leaks)": f"{figure:.2f}" for name, figure in figures.items()},
            **{f"{name}, as published (leaks)": spread(groups[group]) for name, groups in ours.items()},
            "ensemble without leak, all groups in one fit": spread(line["groups"][group]) if line else "",
        }
        for group, figures in PUBLISHED[benchmark["source"]].items()
        if all(group in groups for groups in ours.values())
    ]


def best_model(benchmark: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the model with the lowest error on the test cells; None before the first seed."""
    return min(benchmark["models"], key=lambda line: float(line["mape"]["mean"]), default=None)


def spread(figure: Mapping[str, Any]) -> str:
    """Return a mean over seeds with its standard deviation.

    Example:
        >>> spread({"mean": 0.643, "sd": 0.021}), spread({"mean": 3.68, "sd": None})
        ('0.64 ± 0.02', '3.68')
    """
    sd = "" if figure["sd"] is None else f" ± {figure['sd']:.2f}"
    return f"{number(figure['mean'])}{sd}"


def _describe(benchmark: Mapping[str, Any]) -> str:
    cells = benchmark["cells"]
    seeds = f"seeds: {benchmark['seeds_done']} of {benchmark['seeds']}"
    counts = f"{cells['train']} training, {cells['val']} validation, {cells['test']} test cells"
    of_seeds = [f"{seed}: {_weights(weights)}" for seed, weights in benchmark["ensemble_weights"].items()]
    ensemble = f" Ensemble weights in % by seed: {'; '.join(of_seeds)}." if of_seeds else ""
    return f"{benchmark['description']}. {counts}; {seeds}; data version `{benchmark['data_version'][:12]}`.{ensemble}"


def _weights(weights: Mapping[str, float]) -> str:
    ordered = sorted(weights.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{name} {100 * weight:.0f}" for name, weight in ordered)


def _leaking_title(benchmark: Mapping[str, Any]) -> str:
    return f"{benchmark['description']} (leaking; seeds: {benchmark['seeds_done']} of {benchmark['seeds']})"


def _line(benchmark: Mapping[str, Any], model: str) -> Mapping[str, Any] | None:
    return next((line for line in benchmark["models"] if line["model"] == model), None)


def print_leaderboard(content: Mapping[str, Any]) -> None:
    """Print the tables of the page."""
    valid = [benchmark for benchmark in content["benchmarks"] if not benchmark["leaking"]]
    leaking = [benchmark for benchmark in content["benchmarks"] if benchmark["leaking"]]
    for benchmark in valid:
        print_table(benchmark["benchmark"], model_table(benchmark))
    for benchmark in leaking:
        print_table(_leaking_title(benchmark), published_table(benchmark, valid))
    print_table("Goals", goal_table(valid))
