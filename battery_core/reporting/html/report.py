"""The report of an evaluation as a single HTML file: model card, tables and figures."""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from battery_core.cell_errors import as_worst
from battery_core.evaluation.metrics.confidence import METHOD, ROUGH_BELOW
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC
from battery_core.reporting import model_card as card
from battery_core.reporting.formats import percent, percent_interval
from battery_core.reporting.tables.report import model_table

_MAX_CELLS, _MAX_CONDITIONS = 40, 24
_TEMPLATE = "report.html.jinja"
_BEFORE_UNIT, _NO_BREAK = re.compile(r"(?<=\d) (?=%|°C)"), "\u00a0"  # a line never ends between number and unit


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Args:
        title: heading.
        text: explanation of the figure.
        file: PNG.
        wide: whether it is wider than a phone screen and scrolls there.
    """

    title: str
    text: str
    file: Path
    wide: bool = False

    @property
    def source(self) -> str:
        """Return the image as a data URI."""
        return "data:image/png;base64," + base64.b64encode(self.file.read_bytes()).decode()


@dataclass(frozen=True)
class Section:
    """A section of the page with its figures."""

    title: str
    figures: tuple[Figure, ...]


def render(report: Mapping[str, Any], decision: Mapping[str, Any] | None, sections: list[Section]) -> str:
    """Return the page as HTML.

    Args:
        report: of the evaluation, read from JSON.
        decision: ``promoted`` and ``reason`` of the release; None before the decision.
        sections: of figures, in order.
    """
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["percent"] = percent
    challenger = next(m for m in report["models"] if m["run_id"] == report["challenger"])
    page = environment.get_template(_TEMPLATE).render(
        report=report,
        challenger=challenger,
        error=challenger["test"][PRIMARY_METRIC],
        decision=decision,
        card_lines=card.card_lines(report, decision),
        out_of_scope=card.out_of_scope(report),
        weak_spots=card.weak_spots(report),
        models=_models(report),
        conditions=_conditions(report, challenger["test"]),
        cells=_cells(challenger["test"]),
        n_cells=challenger["test"]["n_cells"],
        sections=sections,
        method=METHOD,
        rough_below=ROUGH_BELOW,
    )
    return _BEFORE_UNIT.sub(_NO_BREAK, page)


def _models(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the table of models with the interval of each error and the kind of each line."""
    scores = {m["model"]: m["test"] for m in report["models"]} | report["baselines"]
    scores["leak_probe"] = report["leak_probe"]
    kinds = dict.fromkeys(report["baselines"], "baseline") | {"leak_probe": "probe"}
    chosen = next(m["model"] for m in report["models"] if m["run_id"] == report["challenger"])
    lines = []
    for row in model_table(report):
        name = row["model"]
        row["worst cell"] = "\u200b".join(textwrap.wrap(row["worst cell"], 60))
        kind = "chosen" if name == chosen else kinds.get(name, "model")
        lines.append({**row, "interval": _interval(scores[name], PRIMARY_METRIC), "kind": kind})
    return lines


def _interval(line: Mapping[str, Any], name: str) -> str:
    return percent_interval(line.get(f"{name}_low"), line.get(f"{name}_high"))


def _conditions(report: Mapping[str, Any], scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a block for each kind of condition that varies: each line with its error, interval and bar."""
    blocks = []
    titles = {"per_temperature": "Temperature", "per_group": "Group", "per_protocol": "Protocol"}
    groups = {line["group"] for line in scores["per_group"]}
    for table, title in (titles | {"per_soh_range": "Range of SOH"}).items():
        lines, column = scores.get(table) or [], card.CONDITIONS[table]
        is_repeated = table == "per_protocol" and {line[column] for line in lines} == groups
        if len(lines) < 2 or is_repeated or (table == "per_protocol" and len(lines) > 0.5 * scores["n_cells"]):
            continue
        baseline = {line[column]: line["mape"] for line in report["baselines"]["train_mean"].get(table) or []}
        if table != "per_soh_range":
            lines = sorted(lines, key=lambda line: str(line[column]) if isinstance(line[column], str) else "")
        blocks.append({"title": title, "lines": _scaled(lines[:_MAX_CONDITIONS], column, baseline)})
    return blocks


def _scaled(lines: list[dict[str, Any]], column: str, baseline: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Return lines with bars that are scaled to at most 100."""
    ends = [line["mape_high"] if line["mape_high"] is not None else line["mape"] for line in lines]
    full = max((end for end in ends if end is not None), default=0.0) or 1.0
    return [
        {
            "name": card.condition_name(column, line[column]),
            "cells": line["n_cells"],
            "rough": line["n_cells"] < ROUGH_BELOW,
            "mape": line["mape"],
            "interval": _interval(line, "mape"),
            "baseline": percent(baseline.get(line[column])),
            "at": 100 * (line["mape"] or 0.0) / full,
            "low": None if line["mape_low"] is None else 100 * line["mape_low"] / full,
            "width": None if line["mape_low"] is None else 100 * (line["mape_high"] - line["mape_low"]) / full,
        }
        for line in lines
    ]


def _cells(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the cells with the largest error, the worst first."""
    return sorted(scores["per_cell"], key=lambda cell: -as_worst(cell["mape"]))[:_MAX_CELLS]
