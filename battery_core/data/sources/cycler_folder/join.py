"""Join of the files of a cell: each file checked for plausibility, charge current positive, one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from battery_core.data.cycler_settings import CyclerSettings
from battery_core.data.cycling import physics
from battery_core.data.cycling.record import Array, Record
from battery_core.data.sources.cycler_folder.files import Export
from battery_core.data.tables.issues import Issue
from battery_core.errors import DataError

_SAME_ROWS = 10
_CLOCK_SLACK_s = 60.0  # computers set their clocks


@dataclass(frozen=True)
class Joined:
    """Store the joined record of all files of a cell.

    Args:
        record: time from 0, charge current positive.
        signs: what the sign of the current was in the files, in words, by format.
        first_file_rows: number of samples of the first file.
        findings: what was decided and left out.
    """

    record: Record
    signs: tuple[str, ...]
    first_file_rows: int
    issues: list[Issue]


def join(cell: str, exports: Sequence[Export], nominal_Ah: float, settings: CyclerSettings, where: str) -> Joined:
    """Check and join the files of a cell, in the order of the argument.

    Raises:
        DataError: a unit, sign or time cannot be right, or two files overlap in time.
    """
    issues = [
        Issue(cell, None, rule, "", e.name, "kept", f"{e.name}: {text}") for e in exports for rule, text in e.notes
    ]
    rest_A = settings.rest_current * nominal_Ah
    for export in exports:
        physics.check_time(export.record, export.columns["time_s"], where)
        physics.check_current(export.record, nominal_Ah, export.columns["current_A"], where)
        physics.check_voltage(export.record, export.columns["voltage_V"], where, rest_A)
        _check_temperature(export, where)
    records, signs, turned = _charge_positive(cell, exports, nominal_Ah, rest_A, settings, where)
    starts, messages = _starts(cell, exports, where)
    voltage, current, temperature = (
        np.concatenate([getattr(r, name) for r in records]) for name in ("voltage_V", "current_A", "temperature_degC")
    )
    time = np.concatenate([r.time_s - r.time_s[0] + start for r, start in zip(records, starts, strict=True)])
    record = Record(time, voltage, current, temperature, _cycles(records))
    physics.check_time_unit(record, nominal_Ah, exports[0].columns["time_s"], where, settings.max_gap_s)
    return Joined(record, signs, len(records[0]), [*issues, *turned, *messages])


def _check_temperature(export: Export, where: str) -> None:
    median = float(np.nanmedian(export.record.temperature_degC)) if "temperature_degC" in export.columns else 25.0
    if not -60.0 <= median <= 150.0:
        column = export.columns["temperature_degC"]
        raise DataError(
            f"{where}, file '{export.name}', column '{column.header}': expected -60 to 150 degC, got a "
            f"median of {median:.4g} degC - {column.advice('K' if 200 < median < 430 else 'degC')}"
        )


def _charge_positive(
    cell: str, exports: Sequence[Export], nominal_Ah: float, rest_A: float, settings: CyclerSettings, where: str
) -> tuple[list[Record], tuple[str, ...], list[Issue]]:
    """Return records with positive charge current; files of one format share a sign, also files with rests only."""
    signs = [
        physics.sign_of_current(e.record, nominal_Ah, max_gap_s=settings.max_gap_s, rest_A=rest_A) for e in exports
    ]
    words, issues, records = {}, [], []
    for export, measured in zip(exports, signs, strict=True):
        column = export.columns["current_A"]
        here = f"{where}, file '{export.name}', column '{column.header}'"
        if physics.has_no_sign(export.record, nominal_Ah, max_gap_s=settings.max_gap_s, rest_A=rest_A):
            raise DataError(
                f"{here}: expected charge and discharge to differ in sign, got one sign while the voltage rises and "
                "falls - export the current with its sign"
            )
        alike = {sign for e, sign in zip(exports, signs, strict=True) if e.kind == export.kind} - {"unknown"}
        sign = measured if measured != "unknown" else alike.pop() if len(alike) == 1 else "unknown"
        declared = settings.current_sign if export.is_plain else "auto"
        if declared != "auto" and sign not in ("unknown", declared):
            raise DataError(
                f"{here}: data.cycler.current_sign says {declared}, but the voltage "
                f"{'falls' if declared == 'charge_positive' else 'rises'} while current is positive - set it to {sign}"
            )
        final = sign if declared == "auto" else declared
        records.append(export.record.turned() if final == "charge_negative" else export.record)
        if final == "charge_negative" and declared == "auto" and export.kind not in words:
            text = f"{export.kind}: voltage rises while the current is negative: the sign is turned, charge is positive"
            issues.append(Issue(cell, None, "sign_turned", "current_A", export.name, "flagged", text))
        if final == "unknown" and np.abs(export.record.current_A).max() > rest_A:
            text = f"{export.name}: the voltage does not tell the sign of the current; taken as charge positive"
            issues.append(Issue(cell, None, "sign_unknown", "current_A", export.name, "flagged", text))
        how = "declared" if declared != "auto" else "as the voltage tells"
        known = final != "unknown"
        words[export.kind] = f"{final.replace('_', ' ')} ({how})" if known else "not known, taken as charge positive"
    return records, tuple(dict.fromkeys(words.values())), issues


def _starts(cell: str, exports: Sequence[Export], where: str) -> tuple[list[float], list[Issue]]:
    """Return the start of each file on the common time axis. Units: s."""
    starts = [0.0]
    issues: list[Issue] = []
    for last, export in pairwise(exports):
        _check_not_twice(last, export, where)
        end = starts[-1] + float(last.record.time_s[-1] - last.record.time_s[0])
        since = float(export.record.time_s[0] - last.record.time_s[-1])
        if last.starts_at_s is not None and export.starts_at_s is not None:
            start = starts[-1] + export.starts_at_s - last.starts_at_s
            if start < end - _CLOCK_SLACK_s:
                raise DataError(
                    f"{where}, file '{export.name}': it begins {(end - start) / 3600:.3g} h before "
                    f"'{last.name}' ends - files are taken in order of their names: rename them, or remove a copy"
                )
            start = max(start, end)
        elif since >= 0:
            start = end + since
        else:
            start = end
            if not any(f.rule == "time_restarts" for f in issues):
                text = f"time starts anew in {export.name} and no date is known: the wait between files counts as none"
                issues.append(Issue(cell, None, "time_restarts", "time_days", export.name, "flagged", text))
        starts.append(start)
    return starts, issues


def _check_not_twice(last: Export, export: Export, where: str) -> None:
    def beginning(e: Export) -> Array:
        return np.stack([e.record.time_s, e.record.voltage_V, e.record.current_A])[:, :_SAME_ROWS]

    if len(export.record) >= _SAME_ROWS and np.array_equal(beginning(last), beginning(export)):
        raise DataError(
            f"{where}, file '{export.name}': it begins with the same rows as '{last.name}' - keep the longer one only"
        )


def _cycles(records: Sequence[Record]) -> Array | None:
    """Return the cycle numbers of the cycler from 0, or None where a file has none or they decrease."""
    parts: list[Array] = []
    last = 0.0
    for record in records:
        if record.cycle is None or not np.isfinite(record.cycle).all() or (np.diff(record.cycle) < 0).any():
            return None
        first = float(record.cycle[0])
        goes_on = not parts or first >= last
        shift = -float(records[0].cycle[0]) if goes_on and records[0].cycle is not None else parts[-1][-1] + 1 - first
        parts.append(record.cycle + shift)
        last = float(record.cycle[-1])
    return np.concatenate(parts)
