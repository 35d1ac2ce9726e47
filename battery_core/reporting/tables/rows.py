"""Rows of text as a table: on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

Row = dict[str, str]
"""One line of a table, by the heading of its columns."""
_PIPE_WIDTH = 140  # where the output is no terminal


def print_table(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table that fits the terminal; nothing without rows."""
    if not rows:
        return
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(row.get(column, "").replace("**", "").replace("`", "") for column in rows[0]))
    terminal = Console()
    terminal = terminal if terminal.is_terminal else Console(width=_PIPE_WIDTH)
    terminal.print(table)
    terminal.print()


def markdown_table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table.

    Example:
        >>> print(markdown_table([{"model": "mlp", "MAPE %": "0.7"}]), end="")
        | model | MAPE % |
        |---|---|
        | mlp | 0.7 |
    """
    if not rows:
        return ""
    lines = [list(rows[0]), *(list(row.values()) for row in rows)]
    texts = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([texts[0], "|" + "---|" * len(rows[0]), *texts[1:]]) + "\n"
