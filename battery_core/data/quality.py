"""What is wrong with the data, row by row: flagged and kept, or quarantined and counted, never dropped in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from battery_core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from battery_core.data.settings import DataSettings

Action = Literal["kept", "flagged", "quarantined"]
_ROUNDING = 1e-9  # a step of exactly the limit is not over it


@dataclass(frozen=True)
class Finding:
    """One observation about one check-up, or about a whole cell (``row`` is None).

    Args:
        cell_id: the cell.
        row: check-up index in the raw file, from 0.
        rule: short name of the check.
        column: the column concerned.
        value: what was found, as text; JSON has no infinity.
        action: kept (said only), flagged (kept, to look at) or quarantined (taken out).
        reason: one sentence for people.

    Example:
        >>> Finding("A1", 3, "non_finite", "voltage_entropy", "-inf", "quarantined", "not a number").action
        'quarantined'
    """

    cell_id: str
    row: int | None
    rule: str
    column: str
    value: str
    action: Action
    reason: str


def check_quality(
    cells: pd.DataFrame, checkups: pd.DataFrame, settings: DataSettings
) -> tuple[pd.DataFrame, list[Finding]]:
    """Check-ups with a usable label, and everything that looks wrong.

    Only a row that cannot be scored (no finite, positive capacity) or that is there twice is taken out. A suspicious
    label is flagged and kept: cleaning test rows on the label would make the error look better than it is.

    Raises:
        DataError: a cell has no usable label at all, or too many rows are quarantined.
    """
    import numpy as np

    capacity = checkups["capacity_Ah"].to_numpy(dtype=float)
    unusable = ~(np.isfinite(capacity) & (capacity > 0))
    repeated = checkups.duplicated(["cell_id", "checkup_index"]).to_numpy() & ~unusable
    findings = _row_findings(
        checkups,
        unusable,
        "no_label",
        "capacity_Ah",
        "quarantined",
        "capacity is not a positive number: nothing to score",
    ) + _row_findings(
        checkups,
        repeated,
        "repeated_checkup",
        "checkup_index",
        "quarantined",
        "this check-up of this cell is there before",
    )
    clean = checkups[~(unusable | repeated)].reset_index(drop=True)
    _check_cells_have_labels(checkups, clean)
    check_share(len(checkups), findings, settings.max_quarantine_share)
    return clean, findings + _implausible(cells, clean, settings) + _twins(clean)


def check_share(rows_read: int, findings: Iterable[Finding], limit: float) -> None:
    """Stop when more rows are quarantined than can be trusted.

    Raises:
        DataError: the share is above ``limit``; the text names the commonest reason.

    Example:
        >>> check_share(10, [], limit=0.2)
    """
    bad = [f for f in findings if f.action == "quarantined"]
    rows = _rows_quarantined(bad)
    if rows > limit * rows_read:
        rule, count = Counter(f"{f.rule} in {f.column}" for f in bad).most_common(1)[0]
        raise DataError(
            f"quality: {rows} of {rows_read} check-ups are quarantined, at most {limit:.0%} are allowed; "
            f"commonest: {rule} ({count} times, first in cell '{bad[0].cell_id}') - mend the raw files or raise "
            "data.max_quarantine_share"
        )


def summary(rows_read: int, rows_kept: int, findings: Iterable[Finding]) -> dict[str, Any]:
    """Content of quality.json: counts, then every finding.

    Raises:
        DataError: rows read are neither kept nor quarantined; a reader lost some.

    Example:
        >>> summary(2, 2, [])["rows_quarantined"]
        0
    """
    findings = list(findings)
    quarantined = _rows_quarantined(findings)
    if rows_read != rows_kept + quarantined:
        raise DataError(
            f"quality: read {rows_read} check-ups, kept {rows_kept} and quarantined {quarantined}: "
            f"{rows_read - rows_kept - quarantined} are unaccounted for - the reader lost them, please report it"
        )
    return {
        "rows_read": rows_read,
        "rows_kept": rows_kept,
        "rows_quarantined": quarantined,
        "counts": dict(sorted(Counter(f"{f.action}: {f.rule}" for f in findings).items())),
        "findings": [asdict(f) for f in findings],
    }


def _rows_quarantined(findings: Iterable[Finding]) -> int:
    """Rows, not findings: one row may be bad in several columns, and a finding about a cell is not one more row."""
    return len({(f.cell_id, f.row) for f in findings if f.action == "quarantined" and f.row is not None})


def _row_findings(rows: pd.DataFrame, bad: Any, rule: str, column: str, action: Action, reason: str) -> list[Finding]:
    """One finding for each row where ``bad`` is True."""
    picked = zip(rows["cell_id"][bad], rows["checkup_index"][bad], rows[column][bad], strict=True)
    return [Finding(str(cell), int(row), rule, column, f"{value:.6g}", action, reason) for cell, row, value in picked]


def _check_cells_have_labels(checkups: pd.DataFrame, clean: pd.DataFrame) -> None:
    if bare := sorted(set(checkups["cell_id"]) - set(clean["cell_id"])):
        raise DataError(
            f"cell '{bare[0]}': no check-up has a usable capacity_Ah (all missing, infinite or not positive)"
            f"{f', nor in {len(bare) - 1} more cells' if len(bare) > 1 else ''} - "
            "mend the label column in the raw file or take the file out"
        )


def _implausible(cells: pd.DataFrame, clean: pd.DataFrame, settings: DataSettings) -> list[Finding]:
    """Labels outside the plausible range, and steps that are a knee or a fault: kept, but said."""
    from battery_core.data.labels import soh

    ordered = clean.sort_values(["cell_id", "checkup_index"], kind="stable")
    value = soh(ordered, cells, settings.soh_reference)
    outside = (value < settings.soh_min) | (value > settings.soh_max)
    step = value.groupby(ordered["cell_id"]).diff()
    jump = step.abs() > settings.soh_max_step + _ROUNDING
    wide = f"SOH outside {settings.soh_min:g} to {settings.soh_max:g}"
    steep = f"SOH step of more than {settings.soh_max_step:g} since the check-up before, a knee or a fault,"
    return _flag_cells(ordered[outside], "soh_range", value[outside], wide) + _flag_cells(
        ordered[jump], "soh_step", step[jump], steep
    )


def _flag_cells(suspicious: pd.DataFrame, rule: str, values: pd.Series[float], what: str) -> list[Finding]:
    """One finding a cell, at its first such check-up: a cell may have hundreds, and people read this."""
    findings = []
    for cell, rows in suspicious.groupby("cell_id"):
        first, value = int(rows["checkup_index"].iloc[0]), float(values[rows.index[0]])
        reason = f"{what} in {len(rows)} check-up(s) from number {first} on: kept, to look at"
        findings.append(Finding(str(cell), first, rule, "capacity_Ah", f"{value:.6g}", "flagged", reason))
    return findings


def _twins(clean: pd.DataFrame) -> list[Finding]:
    """Cells with the same labels, value by value: one measurement under two names would be in train and test."""
    first: dict[bytes, str] = {}
    findings = []
    for cell, capacity in clean.groupby("cell_id")["capacity_Ah"]:
        labels = capacity.to_numpy(dtype=float)
        twin = first.setdefault(labels.tobytes(), str(cell))
        if twin != cell and len(labels) > 1:
            text = f"all {len(labels)} capacities equal those of cell '{twin}'"
            findings.append(Finding(str(cell), None, "twin_cell", "capacity_Ah", twin, "flagged", text))
    return findings
