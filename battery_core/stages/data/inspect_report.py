"""The inspection of a folder of cycler exports on a terminal, for people at the end of a long day."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from battery_core.stages.data.inspect import CellView, Inspection

_WIDTH = 120  # where the output is no terminal
_LEVELS = {"quarantined": "left out", "flagged": "look at", "kept": "note"}
_MOST_FINDINGS = 40


def show(inspection: Inspection, folder: Path) -> None:
    """Tables of cells and columns, then problems in words, then what to do next."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH)
    console.print(
        f"\n[bold]{escape(str(folder))}[/]: {len(inspection.cells)} of {_all(inspection)} cells can be read\n"
    )
    if inspection.cells:
        console.print(_cells(inspection.cells))
        console.print(_columns(inspection.cells))
    _problems(console, inspection)
    if inspection.figure:
        console.print(f"\nPlot: {escape(str(inspection.figure))}", soft_wrap=True)
    if inspection.is_ready:
        command = f"python flows/train.py --data.source cycler_folder --data.cycler.folder {shlex.quote(str(folder))}"
        console.print(f"Next: [bold]{escape(command)}[/]", soft_wrap=True)
    else:
        console.print("Next: mend what is above, then inspect again; nothing was written but the plot")


def _all(inspection: Inspection) -> int:
    return len(inspection.cells) + len(inspection.refused.keys() - {"all cells"})


def _cells(views: list[CellView]) -> Table:
    table = Table(title="Cells", title_justify="left", header_style="bold")
    for name in ("cell", "format"):
        table.add_column(name, overflow="fold")
    for name in ("files", "rows", "days", "steps", "discharges", "check-ups", "SOH", "window / V"):
        table.add_column(name, justify="right")
    for view in views:
        fade = f"{view.soh[0]:.3f} to {view.soh[-1]:.3f}" if view.soh else "-"
        counts = (f"{view.files}", f"{view.rows:,}", f"{view.days:.1f}", f"{view.steps}", f"{view.cycles}")
        table.add_row(escape(view.cell), escape(view.formats), *counts, f"{view.checkups}", fade, view.window)
    return table


def _columns(views: list[CellView]) -> Table:
    table = Table(title="Columns, as the first file of each cell has them", title_justify="left", header_style="bold")
    for name in ("cells", "time", "voltage", "current", "temperature", "sign of current"):
        table.add_column(name, overflow="fold")
    alike: dict[tuple[str, ...], list[str]] = {}
    for view in views:
        how = [view.how.get(name, "not measured") for name in ("time_s", "voltage_V", "current_A", "temperature_degC")]
        alike.setdefault((*how, view.sign), []).append(view.cell)
    for row, cells in alike.items():
        table.add_row(escape(", ".join(cells)), *map(escape, row))
    return table


def _problems(console: Console, inspection: Inspection) -> None:
    if not inspection.refused and not inspection.issues:
        console.print("[green]Nothing odd was found.[/]")
        return
    console.print("[bold]What to know[/]")
    for reason in inspection.refused.values():
        console.print(f"  [red]refused[/]  {escape(reason)}", soft_wrap=True)
    order = list(_LEVELS)
    issues = sorted(inspection.issues, key=lambda finding: order.index(finding.action))
    for finding in issues[:_MOST_FINDINGS]:
        level = f"[yellow]{_LEVELS[finding.action]}[/]" if finding.action != "kept" else _LEVELS[finding.action]
        row = f", check-up {finding.row}" if finding.row is not None else ""
        console.print(f"  {level}  {escape(finding.cell_id)}{row}: {escape(finding.reason)}", soft_wrap=True)
    if len(issues) > _MOST_FINDINGS:
        console.print(f"  and {len(issues) - _MOST_FINDINGS} more; a run writes them all to issues.csv")
