"""The report as one page that needs nothing else: words, tables and figures in a single HTML file."""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from battery_core.cell_errors import as_worst
from battery_core.evaluation.metrics.confidence import METHOD, ROUGH_BELOW
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC
from battery_core.reporting import model_card as card
from battery_core.reporting.formats import percent
from battery_core.reporting.tables.report import model_table

_MOST_CELLS, _MOST_CONDITIONS = 40, 24
_TEMPLATE = "report.html.jinja"
_BEFORE_UNIT, _NO_BREAK = re.compile(r"(?<=\d) (?=%|°C)"), "\u00a0"  # a line never ends between number and unit


@dataclass(frozen=True)
class Figure:
    """A picture of the page and what to see in it.

    Args:
        title: heading.
        text: how to read it.
        file: PNG.
        wide: whether it is too wide for a phone and scrolls there.
    """

    title: str
    text: str
    file: Path
    wide: bool = False

    @property
    def source(self) -> str:
        """The picture itself, as an address that needs no network."""
        return "data:image/png;base64," + base64.b64encode(self.file.read_bytes()).decode()


@dataclass(frozen=True)
class Section:
    """A chapter of the page."""

    title: str
    figures: tuple[Figure, ...]


def render(report: Mapping[str, Any], decision: Mapping[str, Any] | None, sections: list[Section]) -> str:
    """The page.

    Args:
        report: what the stage evaluate wrote, read back from JSON.
        decision: ``promoted`` and ``reason`` of the stage release; None before it has decided.
        sections: chapters of figures, in order.
    """
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    environment.filters["percent"] = percent
    challenger = next(m for m in report["models"] if m["run_id"] == report["challenger"])
    page = environment.get_template(_TEMPLATE).render(
        report=report,
        challenger=challenger,
        headline=challenger["test"][PRIMARY_METRIC],
        decision=decision,
        facts=card.facts(report, decision),
        not_for=card.not_for(report),
        weak=card.weak_spots(report),
        board=_board(report),
        conditions=_conditions(report, challenger["test"]),
        cells=_cells(challenger["test"]),
        n_cells=challenger["test"]["n_cells"],
        sections=sections,
        method=METHOD,
        rough_below=ROUGH_BELOW,
    )
    return _BEFORE_UNIT.sub(_NO_BREAK, page)


def _board(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The leaderboard with the interval of each error, and what kind of line it is."""
    scores = {m["model"]: m["test"] for m in report["models"]} | report["baselines"]
    scores["leak_probe"] = report["leak_probe"]
    kinds = dict.fromkeys(report["baselines"], "baseline") | {"leak_probe": "probe"}
    chosen = next(m["model"] for m in report["models"] if m["run_id"] == report["challenger"])
    board = []
    for row in model_table(report):
        name = row["model"]
        row["worst cell"] = "\u200b".join(textwrap.wrap(row["worst cell"], 60))
        kind = "chosen" if name == chosen else kinds.get(name, "model")
        board.append({**row, "interval": _interval(scores[name], PRIMARY_METRIC), "kind": kind})
    return board


def _interval(line: Mapping[str, Any], name: str) -> str:
    return card.interval(line.get(f"{name}_low"), line.get(f"{name}_high"))


def _conditions(report: Mapping[str, Any], scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A block for each kind of condition that varies: each line with its error, its interval and a bar to scale."""
    blocks = []
    titles = {"per_temperature": "Temperature", "per_group": "Group", "per_protocol": "Protocol"}
    groups = {line["group"] for line in scores["per_group"]}
    for table, title in (titles | {"per_soh_range": "Range of SOH"}).items():
        lines, column = scores.get(table) or [], card.CONDITIONS[table]
        repeated = table == "per_protocol" and {line[column] for line in lines} == groups
        if len(lines) < 2 or repeated or (table == "per_protocol" and len(lines) > 0.5 * scores["n_cells"]):
            continue
        beside = {line[column]: line["mape"] for line in report["baselines"]["train_mean"].get(table) or []}
        if table != "per_soh_range":
            lines = sorted(lines, key=lambda line: str(line[column]) if isinstance(line[column], str) else "")
        blocks.append({"title": title, "lines": _scaled(lines[:_MOST_CONDITIONS], column, beside)})
    return blocks


def _scaled(lines: list[dict[str, Any]], column: str, beside: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """Lines with bars whose longest reaches 100."""
    ends = [line["mape_high"] if line["mape_high"] is not None else line["mape"] for line in lines]
    full = max((end for end in ends if end is not None), default=0.0) or 1.0
    return [
        {
            "name": card.condition_name(column, line[column]),
            "cells": line["n_cells"],
            "rough": line["n_cells"] < ROUGH_BELOW,
            "mape": line["mape"],
            "interval": _interval(line, "mape"),
            "baseline": percent(beside.get(line[column])),
            "at": 100 * (line["mape"] or 0.0) / full,
            "low": None if line["mape_low"] is None else 100 * line["mape_low"] / full,
            "width": None if line["mape_low"] is None else 100 * (line["mape_high"] - line["mape_low"]) / full,
        }
        for line in lines
    ]


def _cells(scores: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The cells with the largest error, the worst first."""
    return sorted(scores["per_cell"], key=lambda cell: -as_worst(cell["mape"]))[:_MOST_CELLS]
