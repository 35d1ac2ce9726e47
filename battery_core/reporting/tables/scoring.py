"""Tables and lines about a scoring run: cells by urgency, flags, the forecast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from battery_core.reporting.formats import short_list

_MAX_CELLS, _MAX_NAMES = 12, 20


def most_urgent_cells(scores: pd.DataFrame, most: int = _MAX_CELLS) -> list[str]:
    """Return the cells that need attention first: shortest remaining life, then lowest SOH; dead cells last."""
    newest = scores.groupby("cell_id").tail(1)
    order = newest.sort_values(["at_end_of_life", "rul", "soh", "cell_id"], na_position="last", kind="stable")
    return list(order["cell_id"].head(most))


def score_table(scores: pd.DataFrame, most: int = 50) -> list[dict[str, str]]:
    """Return one row a cell for a page or a terminal, the most urgent cells first."""
    newest = scores.groupby("cell_id").tail(1).set_index("cell_id")
    unit = "EFC" if scores["usage_unit"].iloc[0] == "equivalent full cycles" else "cycles"
    rows = []
    for cell_id in most_urgent_cells(scores, most):
        cell: Any = newest.loc[cell_id]
        rows.append(
            {
                "cell": cell_id,
                "check-up": str(cell["checkup_index"]),
                "SOH": _with_interval(cell["soh"], cell["soh_lower"], cell["soh_upper"], 3),
                "measured": f"{cell['soh_measured']:.3f}",
                f"RUL / {unit}": _with_interval(cell["rul"], cell["rul_low"], cell["rul_high"], 0),
                "RUL / check-ups": _with_interval(
                    cell["rul_checkups"], cell["rul_checkups_low"], cell["rul_checkups_high"], 0
                ),
                "note": _note(cell),
            }
        )
    return rows


def score_flags(summary: Mapping[str, Any]) -> list[str]:
    """Return the model, its data and the flagged cells, one Markdown line each."""
    end = f"{summary['end_of_life']:.0%} SOH"
    data = "same data as its training" if summary["same_data_as_training"] else "newer data than its training"
    in_training = f"{summary['seen_in_training']} of {summary['cells']} cells were in its training data"
    lines = [f"- model: {summary['model']}, data version {summary['data_version'][:12]}, {data}; {in_training}"]
    for word, cells in (("at", summary["at_end_of_life"]), ("near", summary["near_end_of_life"])):
        lines += [f"- {len(cells)} {word} {end}: {short_list(cells, _MAX_NAMES)}"] if cells else []
    outside = [f"{cell} ({column})" for cell, column in summary["out_of_distribution"].items()]
    return lines + ([f"- {len(outside)} out of distribution: {short_list(outside, _MAX_NAMES)}"] if outside else [])


def _with_interval(value: float, low: float, high: float, digits: int) -> str:
    if value != value:
        return "no forecast"
    if low != low or high != high:
        return f"{value:.{digits}f}"
    above = f"{high:.{digits}f}" if np.isfinite(high) else "?"
    return f"{value:.{digits}f} ({low:.{digits}f} to {above})"


def _note(cell: Any) -> str:
    notes = ["end of life"] if cell["at_end_of_life"] else ["near end of life"] if cell["near_end_of_life"] else []
    notes += [f"out of distribution: {cell['outside']}"] if cell["outside"] else []
    notes += ["in training data"] if cell["seen_in_training"] else []
    return ", ".join(notes)
