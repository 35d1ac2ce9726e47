"""Inspection of a folder of cycler exports on a terminal: cells, columns, issues and the next command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from battery_core.data.tables.issues import Issue

_PIPE_WIDTH = 120  # where the output is no terminal
_LEVELS = {"quarantined": "left out", "flagged": "check", "kept": "note"}
_MAX_ISSUES = 40
INSPECTED_COLUMNS = ("time_s", "voltage_V", "current_A", "temperature_degC")


@dataclass(frozen=True)
class CellSummary:
    """How one cell was read.

    Args:
        cell: its id.
        formats: of its files.
        columns: canonical column -> header and unit in the file.
        sign: sign convention of the current.
        files, rows, steps, cycles, checkups: counts.
        days: length of the record.
        soh: of each check-up.
        window: voltages of a full cycle, in words.
    """

    cell: str
    formats: str
    columns: Mapping[str, str]
    sign: str
    files: int
    rows: int
    steps: int
    cycles: int
    checkups: int
    days: float
    soh: tuple[float, ...]
    window: str


@dataclass(frozen=True)
class Inspection:
    """Result of an inspection.

    Args:
        cells: that could be read.
        refused: cells that could not be read, with the reason.
        issues: of the cells that could be read.
        figure: the plot, or None without check-ups.
    """

    cells: Sequence[CellSummary]
    refused: Mapping[str, str]
    issues: Sequence[Issue]
    figure: Path | None

    @property
    def is_ready(self) -> bool:
        """Return whether a run can read every cell and has check-ups."""
        return not self.refused and any(cell.checkups for cell in self.cells)


def print_inspection(inspection: Inspection, folder: Path) -> None:
    """Print tables of cells and columns, then the issues, then the next command."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPE_WIDTH)
    console.print(
        f"\n[bold]{escape(str(folder))}[/]: {len(inspection.cells)} of {_count_cells(inspection)} cells can be read\n"
    )
    if inspection.cells:
        console.print(_cell_table(inspection.cells))
        console.print(_column_table(inspection.cells))
    _print_issues(console, inspection)
    if inspection.figure:
        console.print(f"\nPlot: {escape(str(inspection.figure))}", soft_wrap=True)
    if inspection.is_ready:
        command = f"python flows/train.py --data.source cycler_folder --data.cycler.folder {shlex.quote(str(folder))}"
        console.print(f"Next: [bold]{escape(command)}[/]", soft_wrap=True)
    else:
        console.print("Next: repair the files above, then inspect again; only the plot was written")


def _count_cells(inspection: Inspection) -> int:
    return len(inspection.cells) + len(inspection.refused.keys() - {"all cells"})


def _cell_table(cells: Sequence[CellSummary]) -> Table:
    table = Table(title="Cells", title_justify="left", header_style="bold")
    for name in ("cell", "format"):
        table.add_column(name, overflow="fold")
    for name in ("files", "rows", "days", "steps", "discharges", "check-ups", "SOH", "window / V"):
        table.add_column(name, justify="right")
    for cell in cells:
        fade = f"{cell.soh[0]:.3f} to {cell.soh[-1]:.3f}" if cell.soh else "-"
        counts = (f"{cell.files}", f"{cell.rows:,}", f"{cell.days:.1f}", f"{cell.steps}", f"{cell.cycles}")
        table.add_row(escape(cell.cell), escape(cell.formats), *counts, f"{cell.checkups}", fade, cell.window)
    return table


def _column_table(summaries: Sequence[CellSummary]) -> Table:
    table = Table(title="Columns, as the first file of each cell has them", title_justify="left", header_style="bold")
    for name in ("cells", "time", "voltage", "current", "temperature", "sign of current"):
        table.add_column(name, overflow="fold")
    alike: dict[tuple[str, ...], list[str]] = {}
    for summary in summaries:
        columns = [summary.columns.get(name, "not measured") for name in INSPECTED_COLUMNS]
        alike.setdefault((*columns, summary.sign), []).append(summary.cell)
    for row, cells in alike.items():
        table.add_row(escape(", ".join(cells)), *map(escape, row))
    return table


def _print_issues(console: Console, inspection: Inspection) -> None:
    if not inspection.refused and not inspection.issues:
        console.print("[green]No issues.[/]")
        return
    console.print("[bold]Issues[/]")
    for reason in inspection.refused.values():
        console.print(f"  [red]refused[/]  {escape(reason)}", soft_wrap=True)
    order = list(_LEVELS)
    issues = sorted(inspection.issues, key=lambda issue: order.index(issue.action))
    for issue in issues[:_MAX_ISSUES]:
        level = f"[yellow]{_LEVELS[issue.action]}[/]" if issue.action != "kept" else _LEVELS[issue.action]
        row = f", check-up {issue.row}" if issue.row is not None else ""
        console.print(f"  {level}  {escape(issue.cell_id)}{row}: {escape(issue.reason)}", soft_wrap=True)
    if len(issues) > _MAX_ISSUES:
        console.print(f"  and {len(issues) - _MAX_ISSUES} more; a run writes them all to issues.csv")
