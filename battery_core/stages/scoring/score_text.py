"""What people see of scores: the cells to look at first, the flags in words, the plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from battery_core.stages.scoring.remaining_life import EFC

_SHOWN = 12


def shown_cells(scores: pd.DataFrame, most: int = _SHOWN) -> list[str]:
    """The cells a person should look at first: not yet at the end and soonest there, then the others by SOH."""
    newest = scores.groupby("cell_id").tail(1)
    order = newest.sort_values(["at_end_of_life", "use_left", "soh", "cell_id"], na_position="last", kind="stable")
    return list(order["cell_id"].head(most))


def draw(
    rows: pd.DataFrame, scores: pd.DataFrame, summary: dict[str, Any], end_of_life: float, file: Path
) -> Sequence[str]:
    """The fade plot of the cells to look at first; returns them."""
    from battery_core.reporting.figures.scoring import fade_ahead

    cells = shown_cells(scores)
    fade_ahead(rows, scores, cells, end_of_life, f"{summary['label']}: {summary['model']}", file, summary["simulated"])
    return cells


def rows_for_people(scores: pd.DataFrame, most: int = 50) -> list[dict[str, str]]:
    """The table for a page or a terminal, the most urgent cells first."""
    newest = scores.groupby("cell_id").tail(1).set_index("cell_id")
    unit = "EFC" if scores["use_unit"].iloc[0] == EFC else "cycles"
    lines = []
    for cell_id in shown_cells(scores, most):
        cell: Any = newest.loc[cell_id]
        lines.append(
            {
                "cell": cell_id,
                "check-up": str(cell["checkup_index"]),
                "SOH": _range(cell["soh"], cell["soh_lower"], cell["soh_upper"], 3),
                "measured": f"{cell['soh_measured']:.3f}",
                f"{unit} left": _range(cell["use_left"], cell["use_left_low"], cell["use_left_high"], 0),
                "check-ups left": _range(
                    cell["checkups_left"], cell["checkups_left_low"], cell["checkups_left_high"], 0
                ),
                "note": _note(cell),
            }
        )
    return lines


def in_words(summary: dict[str, Any]) -> list[str]:
    """The flags and what they rest on, line by line."""
    end = f"{summary['end_of_life']:.0%} SOH"
    same = "the data it was trained on" if summary["same_data_as_training"] else "newer data than it was trained on"
    seen = f"{summary['seen_in_training']} of {summary['cells']} cells were seen in its training"
    lines = [f"- asked: {summary['model']}, data version {summary['data_version'][:12]}, {same}; {seen}"]
    for title, cells in (("at", summary["at_end_of_life"]), ("near", summary["near_end_of_life"])):
        lines += [f"- {len(cells)} {title} {end}: {_some(cells)}"] if cells else []
    strange = [f"{cell} ({column})" for cell, column in summary["out_of_distribution"].items()]
    return lines + ([f"- {len(strange)} out of distribution: {_some(strange)}"] if strange else [])


def _some(names: Sequence[str], most: int = 20) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _range(value: float, low: float, high: float, digits: int) -> str:
    if value != value:
        return "not known"
    if low != low or high != high:
        return f"{value:.{digits}f}"
    above = f"{high:.{digits}f}" if np.isfinite(high) else "?"
    return f"{value:.{digits}f} ({low:.{digits}f} to {above})"


def _note(cell: Any) -> str:
    said = ["end of life"] if cell["at_end_of_life"] else ["near end of life"] if cell["near_end_of_life"] else []
    said += [f"out of distribution: {cell['outside']}"] if cell["outside"] else []
    said += ["seen in training"] if cell["seen_in_training"] else []
    return ", ".join(said)
