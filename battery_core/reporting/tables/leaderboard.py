"""The leaderboard for people: one Markdown page, and the same tables for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from battery_core.evaluation.benchmark.aggregate import holds
from battery_core.evaluation.benchmark.published_protocol import PUBLISHED
from battery_core.predictors.weighted_ensemble import NAME as ENSEMBLE

Row = dict[str, str]
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


def as_page(content: Mapping[str, Any]) -> str:
    """The whole page from what ``leaderboard.json`` holds."""
    honest = [board for board in content["boards"] if not board["leaking"]]
    leaking = [board for board in content["boards"] if board["leaking"]]
    parts = [_HOW.format(command=_COMMAND)]
    if honest:
        parts.append(f"\n## Goals\n{table(goals(honest))}")
    parts += [f"\n## {board['board']}\n{_about(board)}\n\n{table(models(board))}" for board in honest]
    if leaking:
        parts.append(_LEAKS)
        parts += [f"\n### {_leaking_title(b)}\n{table(beside_published(b, honest))}" for b in leaking]
    return "".join(parts)


def goals(boards: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A line a board: what is put forward, the best model, the goal, and whether it is reached."""
    return [
        {
            "benchmark": f"`{board['board']}`",
            "seeds": f"{board['seeds_done']} of {board['seeds']}",
            "ensemble": spread(line["mape"]) if (line := _line(board, ENSEMBLE)) else "",
            "best model": f"{best['model']} {spread(best['mape'])}" if (best := best_model(board)) else "",
            "goal": f"{board['goal']:.2f}" if board["goal"] is not None else "",
            "": _verdict(board),
        }
        for board in boards
    ]


def _verdict(board: Mapping[str, Any]) -> str:
    best, line, goal = best_model(board), _line(board, ENSEMBLE), board["goal"]
    if best is None or line is None:
        return "not measured"
    if goal is None:
        return ""
    if not holds(best, goal):
        return f"**missed** by {best['mape']['mean'] - goal:.2f}"
    return "holds" if holds(line, goal) else "holds for the best model, not for the ensemble"


def models(board: Mapping[str, Any]) -> list[Row]:
    """Models by their error, then the baselines; errors of groups where there is more than one."""
    lines = [*board["models"], *board["baselines"]]
    groups = list(lines[0]["groups"]) if lines else []
    return [
        {
            "model": line["model"],
            "MAPE %": spread(line["mape"]),
            "RMSE points": spread(line["rmse"]),
            "worst cell": f"{_number(line['worst_mape'])} ({line['worst_cell']})",
            **({group: spread(line["groups"][group]) for group in groups} if len(groups) > 1 else {}),
        }
        for line in lines
    ]


def beside_published(board: Mapping[str, Any], honest: Sequence[Mapping[str, Any]]) -> list[Row]:
    """A line a group: published figures, ours under the same protocol, and the honest one of the same cells."""
    ours = {line["model"]: line["groups"] for line in board["models"]}
    same = next((one for one in honest if one["board"] == board["source"]), None)
    line = _line(same, ENSEMBLE) if same else None
    return [
        {
            "group": group,
            **{f"{name}, published (leaks)": f"{figure:.2f}" for name, figure in figures.items()},
            **{f"{name}, as published (leaks)": spread(groups[group]) for name, groups in ours.items()},
            "ensemble without leak, all groups in one fit": spread(line["groups"][group]) if line else "",
        }
        for group, figures in PUBLISHED[board["source"]].items()
        if all(group in groups for groups in ours.values())
    ]


def best_model(board: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The model that errs least on the test cells; None before the first seed."""
    return min(board["models"], key=lambda line: float(line["mape"]["mean"]), default=None)


def spread(figure: Mapping[str, Any]) -> str:
    """A mean over seeds with its spread.

    Example:
        >>> spread({"mean": 0.643, "sd": 0.021}), spread({"mean": 3.68, "sd": None})
        ('0.64 ± 0.02', '3.68')
    """
    sd = "" if figure["sd"] is None else f" ± {figure['sd']:.2f}"
    return f"{_number(figure['mean'])}{sd}"


def table(rows: Sequence[Row]) -> str:
    """Rows as a Markdown table.

    Example:
        >>> print(table([{"model": "mlp", "MAPE %": "0.7"}]), end="")
        | model | MAPE % |
        |---|---|
        | mlp | 0.7 |
    """
    if not rows:
        return ""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    shown = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([shown[0], "|" + "---|" * len(rows[0]), *shown[1:]]) + "\n"


def _about(board: Mapping[str, Any]) -> str:
    cells = board["cells"]
    seeds = f"seeds: {board['seeds_done']} of {board['seeds']}"
    counts = f"{cells['train']} training, {cells['val']} validation, {cells['test']} test cells"
    mixed = (f"{seed}: " + _shared(parts) for seed, parts in board["blend_parts"].items())
    blend = f" Ensemble weights in % by seed: {'; '.join(mixed)}." if board["blend_parts"] else ""
    return f"{board['about']}. {counts}; {seeds}; data version `{board['data_version'][:12]}`.{blend}"


def _shared(parts: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * share:.0f}" for name, share in sorted(parts.items(), key=lambda part: -part[1]))


def _leaking_title(board: Mapping[str, Any]) -> str:
    return f"{board['about']} (leaking; seeds: {board['seeds_done']} of {board['seeds']})"


def _line(board: Mapping[str, Any], model: str) -> Mapping[str, Any] | None:
    return next((line for line in board["models"] if line["model"] == model), None)


def _number(value: float | None) -> str:
    return "not finite" if value is None or not math.isfinite(value) else f"{value:.2f}"


def for_terminal(content: Mapping[str, Any]) -> list[Any]:
    """The same tables as rich shows them."""
    from rich.table import Table

    honest = [board for board in content["boards"] if not board["leaking"]]
    shown = [(board["board"], models(board)) for board in honest]
    shown += [(_leaking_title(b), beside_published(b, honest)) for b in content["boards"] if b["leaking"]]
    tables = []
    for title, rows in [*shown, ("Goals", goals(honest))]:
        if rows:
            one = Table(*rows[0], title=title, title_justify="left")
            for row in rows:
                one.add_row(*(value.replace("**", "").replace("`", "") for value in row.values()))
            tables.append(one)
    return tables
