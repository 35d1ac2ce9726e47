"""Tables of an evaluation for the terminal and the run page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from battery_core.cell_errors import as_worst
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC
from battery_core.reporting.formats import percent, points, temperature
from battery_core.reporting.tables.rows import Row

_NOTES = {
    "train_mean": "mean SOH of the training rows",
    "linear_throughput": "straight line over throughput or cycles",
    "persistence": "needs the capacity measured at the previous check-up",
}


def model_table(report: Mapping[str, Any]) -> list[Row]:
    """Return models by their error on test cells, then the baselines, then the leak probe."""
    models = sorted(report["models"], key=lambda m: as_worst(m["test"][PRIMARY_METRIC]))
    rows = [
        _row(m["model"], m["test"], f"{percent(m['val_mean_cell_mape'])} on validation cells" + _mark(m, report))
        for m in models
    ]
    rows += [_row(name, scores, f"baseline: {_NOTES[name]}") for name, scores in report["baselines"].items()]
    return [*rows, _row("leak_probe", report["leak_probe"], "fraction of life only: uses the end of life")]


def condition_table(report: Mapping[str, Any]) -> list[Row]:
    """Return the mean per-cell MAPE of models and baselines per temperature and per group, where these vary."""
    named = [(m["model"], m["test"]) for m in report["models"]] + list(report["baselines"].items())
    tables = [name for name in ("per_temperature", "per_group") if len(named[0][1][name]) > 1] or ["per_group"]
    rows: dict[str, Row] = {}
    for table in tables:
        for name, scores in named:
            for line in scores[table]:
                label = line["group"] if table == "per_group" else temperature(line["ambient_temperature_degC"])
                row = rows.setdefault(label, {"condition": label, "cells": str(line["n_cells"])})
                row[name] = percent(line["mape"])
    return list(rows.values())


def _row(name: str, scores: Mapping[str, Any], note: str) -> Row:
    return {
        "model": name,
        "MAPE per cell": percent(scores[PRIMARY_METRIC]),
        "RMSE per cell": points(scores["mean_cell_rmse"]),
        "worst cell": f"{points(scores['worst_cell_rmse'])} ({scores['worst_cell']})",
        "R2": "n/a" if scores["rows"]["r2"] is None else f"{scores['rows']['r2']:.3f}",
        "note": note,
    }


def _mark(model: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    return ", challenger" if model["run_id"] == report["challenger"] else ""
