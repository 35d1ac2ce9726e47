"""The model card: what a model is, how good it is and where it must not be used, in words for a reader in a hurry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from battery_core.evaluation.metrics.confidence import ROUGH_BELOW
from battery_core.evaluation.metrics.scores import NOT_STATED, PRIMARY_METRIC
from battery_core.reporting.formats import percent

Report = Mapping[str, Any]
_MOST_NAMES = 8


def scope(rows: pd.DataFrame) -> dict[str, Any]:
    """What cells a part of the data has: the ground on which anything that is said of them stands.

    Args:
        rows: labelled check-ups with what is known of their cells.
    """
    cells = rows.groupby("cell_id").first()

    def stated(column: str) -> list[Any]:
        values = cells[column] if column in cells else pd.Series(dtype=object)
        return sorted({value for value in values.dropna().tolist() if value != ""})

    return {
        "cells": len(cells),
        "rows": len(rows),
        "temperatures_degC": stated("ambient_temperature_degC"),
        "chemistries": stated("chemistry"),
        "groups": stated("group"),
        "protocols": stated("protocol"),
        "nominal_capacities_Ah": stated("nominal_capacity_Ah"),
        "soh": [float(rows["soh"].min()), float(rows["soh"].max())] if len(rows) else [None, None],
    }


def interval(low: float | None, high: float | None) -> str:
    """An interval in %, or that one cell has none.

    Example:
        >>> interval(0.391, 0.634), interval(None, None)
        ('0.39 to 0.63 %', 'no interval')
    """
    return "no interval" if low is None or high is None else f"{low:.2f} to {high:.2f} %"


def facts(report: Report, decision: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """The card, line by line.

    Args:
        report: what the stage evaluate wrote.
        decision: ``promoted`` and ``reason`` of the stage release; None before it has decided.
    """
    model = next(m for m in report["models"] if m["run_id"] == report["challenger"])
    return [
        ("Model", f"{model['model']}, chosen of {len(report['models'])} on validation cells; run {model['run_id']}"),
        ("Estimates", f"SOH = capacity now / {_reference(report)}; 1.0 is fresh"),
        ("Data", f"{report['label']}: {'simulated' if report['simulated'] else 'measured'} cells"),
        ("Data version", f"{report['data_version']} (the md5 DVC keeps for the raw data)"),
        ("Cells", _cells(report)),
        ("Honest error", _error(model["test"])),
        ("Without a model", _baselines(report)),
        *_intervals(model.get("intervals")),
        ("Decision", _decided(decision)),
    ]


def not_for(report: Report) -> list[str]:
    """Where the model must not be used: outside what the training cells were, each in a sentence."""
    known, tested = report["scope"]["train"], report["scope"]["test"]
    low, high = known["soh"]
    lines = ["Real cells: it learnt from simulated ones only."] if report["simulated"] else []
    lines += [
        _temperature(known["temperatures_degC"]),
        f"Another chemistry than {_names(known['chemistries'])}."
        if known["chemistries"]
        else "Any chemistry but that of its training cells, which the source does not state.",
        f"SOH below {low:.2f} or above {high:.2f}: no training cell was there.",
    ]
    if capacities := known["nominal_capacities_Ah"]:
        lines.append(f"Cells of another size than {_names([f'{value:g} Ah' for value in capacities])}.")
    kinds = "protocols" if 0 < len(known["protocols"]) <= _MOST_NAMES else "groups"
    if known[kinds]:
        lines.append(f"Other ways of use than {_names(known[kinds])}.")
    if new := [f"{t:g} °C" for t in tested["temperatures_degC"] if t not in known["temperatures_degC"]]:
        lines.append(
            f"Its error at {_names(new)} below is a test of exactly that: no training cell was so warm or cold."
        )
    return lines


def weak_spots(report: Report) -> list[str]:
    """Conditions whose error is more than twice the mean over cells."""
    scores = next(m["test"] for m in report["models"] if m["run_id"] == report["challenger"])
    overall = scores[PRIMARY_METRIC]
    if overall is None:
        return ["Some of its predictions are not finite: it must not be used at all."]
    found = []
    for table, column in CONDITIONS.items():
        for line in scores.get(table) or []:
            if line["mape"] is not None and line["mape"] > 2 * overall:
                found.append(f"{condition_name(column, line[column])}: {percent(line['mape'])}")
    return found


CONDITIONS = {
    "per_temperature": "ambient_temperature_degC",
    "per_group": "group",
    "per_protocol": "protocol",
    "per_soh_range": "soh_range",
}
"""Tables of a model's scores, and the column that names the condition."""


def condition_name(column: str, value: Any) -> str:
    """A condition for a reader.

    Example:
        >>> condition_name("ambient_temperature_degC", 25.0), condition_name("soh_range", "0.85 to 0.90")
        ('25 °C', 'SOH 0.85 to 0.90')
    """
    if column == "ambient_temperature_degC":
        return f"{value:g} °C" if isinstance(value, int | float) else f"temperature {NOT_STATED}"
    return f"SOH {value}" if column == "soh_range" else str(value)


def _reference(report: Report) -> str:
    return "capacity at its first check-up" if report["soh_reference"] == "first_checkup" else "nominal capacity"


def _cells(report: Report) -> str:
    parts = [f"{report['scope'][part]['cells']} {word}" for part, word in _PARTS.items()]
    return f"{', '.join(parts)}; no cell is in two parts (split '{report['split']['strategy']}')"


_PARTS = {"train": "to learn from", "val": "to choose and calibrate with", "test": "to judge, seen by no model"}


def _error(scores: Mapping[str, Any]) -> str:
    if scores[PRIMARY_METRIC] is None:
        return "none: some predictions are not finite"
    worst = max(scores["per_cell"], key=lambda cell: np.nan_to_num(cell["mape"] or 0.0))
    sure = interval(scores[f"{PRIMARY_METRIC}_low"], scores[f"{PRIMARY_METRIC}_high"])
    rough = f"; rough, with {scores['n_cells']} cells" if 1 < scores["n_cells"] < ROUGH_BELOW else ""
    return (
        f"{percent(scores[PRIMARY_METRIC])} of SOH, mean over {scores['n_cells']} test cells "
        f"(95 % interval {sure}{rough}); "
        f"worst cell {worst['cell_id']}: {percent(worst['mape'])}"
    )


def _baselines(report: Report) -> str:
    named = {"train_mean": "mean of training cells", "linear_throughput": "straight line over use"}
    found = [f"{word} {percent(report['baselines'][name][PRIMARY_METRIC])}" for name, word in named.items()]
    return ", ".join(found)


def _intervals(held: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not held:
        return []
    text = (
        f"meant to hold {held['nominal']:.0%} of check-ups, hold {held['coverage']:.1%} on test cells; "
        f"{held['width']:.2f} SOH points wide; told as unlike training: {held['out_of_distribution']['share']:.1%}"
    )
    factor = held.get("calibration_correction", 1.0)
    if abs(factor - 1) >= 0.005:  # less than half a percent is not worth a word
        changed = "wider: validation cells are easier" if factor > 1 else "narrower: validation cells are harder"
        text += f"; made {abs(factor - 1):.0%} {changed} than the others, as kernel ridge finds"
    return [("Intervals", text.replace("%", " %"))]


def _decided(decision: Mapping[str, Any] | None) -> str:
    if decision is None:
        return "not taken yet: this is the page of the evaluation"
    return f"{'promoted, it serves' if decision['promoted'] else 'not promoted'}: {decision['reason']}"


def _temperature(known: list[float]) -> str:
    if not known:
        return "Cold or heat: the source states no temperatures, so nothing is known of either."
    if len(known) == 1:
        return f"Ambient temperatures other than {known[0]:g} °C."
    return f"Ambient temperatures below {known[0]:g} °C or above {known[-1]:g} °C."


def _names(values: list[Any]) -> str:
    shown = [str(value) for value in values[:_MOST_NAMES]]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
