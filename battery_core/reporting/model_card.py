"""Model card: purpose, data, errors and limits of a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from battery_core.evaluation.metrics.confidence import ROUGH_BELOW
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC
from battery_core.reporting.formats import percent, percent_interval, short_list, temperature

Report = Mapping[str, Any]
_MAX_NAMES = 8


def scope(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what the cells of one subset span: counts, conditions, range of SOH.

    Args:
        rows: labelled check-ups with the metadata of their cells.
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


def card_lines(report: Report, decision: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """Return the lines of the card as heading and text.

    Args:
        report: of the evaluation.
        decision: ``promoted`` and ``reason`` of the release; None before the decision.
    """
    model = next(m for m in report["models"] if m["run_id"] == report["challenger"])
    return [
        (
            "Model",
            f"{model['model']}, one of {len(report['models'])}, selected on validation cells; run {model['run_id']}",
        ),
        ("Estimates", f"SOH = present capacity / {_reference(report)}; 1.0 is fresh"),
        ("Data", f"{report['label']}: {'simulated' if report['simulated'] else 'measured'} cells"),
        ("Data version", f"{report['data_version']} (md5 of the raw data in DVC)"),
        ("Cells", _cells(report)),
        ("Test error", _error(model["test"])),
        ("Baselines", _baselines(report)),
        *_intervals(model.get("intervals")),
        ("Decision", _decision(decision)),
    ]


def out_of_scope(report: Report) -> list[str]:
    """Return the uses outside the range of the training cells, each in a sentence."""
    train, tested = report["scope"]["train"], report["scope"]["test"]
    low, high = train["soh"]
    lines = ["Real cells: the model was trained on simulated cells only."] if report["simulated"] else []
    lines += [
        _temperature_limits(train["temperatures_degC"]),
        f"Other chemistries than {short_list(train['chemistries'], _MAX_NAMES)}."
        if train["chemistries"]
        else "Any chemistry but that of the training cells, which the source does not state.",
        f"SOH below {low:.2f} or above {high:.2f}: outside the range of the training cells.",
    ]
    if capacities := train["nominal_capacities_Ah"]:
        lines.append(
            f"Cells of other nominal capacities than {short_list([f'{c:g} Ah' for c in capacities], _MAX_NAMES)}."
        )
    kinds = "protocols" if 0 < len(train["protocols"]) <= _MAX_NAMES else "groups"
    if train[kinds]:
        lines.append(f"Other protocols than {short_list(train[kinds], _MAX_NAMES)}.")
    if new := [f"{t:g} °C" for t in tested["temperatures_degC"] if t not in train["temperatures_degC"]]:
        lines.append(f"The test error at {short_list(new, _MAX_NAMES)} is an extrapolation: not in the training cells.")
    return lines


def weak_spots(report: Report) -> list[str]:
    """Return conditions with an error of more than twice the mean over cells."""
    scores = next(m["test"] for m in report["models"] if m["run_id"] == report["challenger"])
    overall = scores[PRIMARY_METRIC]
    if overall is None:
        return ["Some predictions are not finite: the model must not be used."]
    spots = []
    for table, column in CONDITIONS.items():
        for line in scores.get(table) or []:
            if line["mape"] is not None and line["mape"] > 2 * overall:
                spots.append(f"{condition_name(column, line[column])}: {percent(line['mape'])}")
    return spots


CONDITIONS = {
    "per_temperature": "ambient_temperature_degC",
    "per_group": "group",
    "per_protocol": "protocol",
    "per_soh_range": "soh_range",
}
"""Tables of a model's scores, and the column that names the condition."""


def condition_name(column: str, value: Any) -> str:
    """Return a condition with its unit.

    Example:
        >>> condition_name("ambient_temperature_degC", 25.0), condition_name("soh_range", "0.85 to 0.90")
        ('25 °C', 'SOH 0.85 to 0.90')
    """
    if column == "ambient_temperature_degC":
        return temperature(value)
    return f"SOH {value}" if column == "soh_range" else str(value)


def _reference(report: Report) -> str:
    return "capacity at its first check-up" if report["soh_reference"] == "first_checkup" else "nominal capacity"


def _cells(report: Report) -> str:
    counts = [f"{report['scope'][subset]['cells']} {purpose}" for subset, purpose in _SUBSETS.items()]
    return f"{', '.join(counts)}; each cell is in one subset (split '{report['split']['strategy']}')"


_SUBSETS = {"train": "for training", "val": "for model selection and calibration", "test": "for testing only"}


def _error(scores: Mapping[str, Any]) -> str:
    if scores[PRIMARY_METRIC] is None:
        return "none: some predictions are not finite"
    worst = max(scores["per_cell"], key=lambda cell: np.nan_to_num(cell["mape"] or 0.0))
    interval = percent_interval(scores[f"{PRIMARY_METRIC}_low"], scores[f"{PRIMARY_METRIC}_high"])
    rough = f"; rough, with {scores['n_cells']} cells" if 1 < scores["n_cells"] < ROUGH_BELOW else ""
    return (
        f"{percent(scores[PRIMARY_METRIC])} of SOH, mean over {scores['n_cells']} test cells "
        f"(95 % interval {interval}{rough}); "
        f"worst cell {worst['cell_id']}: {percent(worst['mape'])}"
    )


def _baselines(report: Report) -> str:
    named = {"train_mean": "mean of training cells", "linear_throughput": "straight line over usage"}
    errors = [f"{word} {percent(report['baselines'][name][PRIMARY_METRIC])}" for name, word in named.items()]
    return ", ".join(errors)


def _intervals(intervals: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if not intervals:
        return []
    text = (
        f"nominal coverage {intervals['nominal']:.0%}, observed {intervals['coverage']:.1%} on test cells; "
        f"{intervals['width']:.2f} SOH points wide; "
        f"out of distribution: {intervals['out_of_distribution']['share']:.1%}"
    )
    factor = intervals.get("calibration_correction", 1.0)
    if abs(factor - 1) >= 0.005:  # smaller corrections are not shown
        change = "wider: validation cells are easier" if factor > 1 else "narrower: validation cells are harder"
        text += f"; calibration correction {abs(factor - 1):.0%} {change} than the other cells (kernel ridge)"
    return [("Intervals", text.replace("%", " %"))]


def _decision(decision: Mapping[str, Any] | None) -> str:
    if decision is None:
        return "pending: the comparison with the champion follows"
    return f"{'promoted to champion' if decision['promoted'] else 'not promoted'}: {decision['reason']}"


def _temperature_limits(temperatures: list[float]) -> str:
    if not temperatures:
        return "Any temperature but that of the training cells, which the source does not state."
    if len(temperatures) == 1:
        return f"Ambient temperatures other than {temperatures[0]:g} °C."
    return f"Ambient temperatures below {temperatures[0]:g} °C or above {temperatures[-1]:g} °C."
