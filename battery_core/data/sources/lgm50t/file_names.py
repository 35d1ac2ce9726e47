"""Parser of LG M50T file names; capitals and the spelling of ``2,2`` vary between folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

PROTOCOLS: Mapping[str, str] = {
    "1": "0-30 % SOC cycling",
    "2,2": "70-85 % SOC cycling",
    "3": "85-100 % SOC cycling",
    "4": "0-100 % SOC drive cycle",
    "5": "0-100 % SOC cycling",
}
_CELL = r"expt\s*(?P<expt>\d+(?:,\d+)?)\s*-\s*cell\s*(?P<cell>\w+)\s*"
SUMMARY_FILE = re.compile(_CELL + r"\((?P<ambient>-?\d+)\s*degc\)\s*-\s*processed data\.csv", re.IGNORECASE)
CURVE_FILE = re.compile(_CELL + r"-\s*rpt\s*(?P<rpt>\d+)\s*-\s*0\.1c discharge data\.csv", re.IGNORECASE)
SET_FILE = re.compile(_CELL + r"-\s*set_data\.csv", re.IGNORECASE)
CYCLE_FILE = re.compile(_CELL + r"-\s*cycle_data\.csv", re.IGNORECASE)


def is_needed(file_name: str) -> bool:
    """Return whether a SOH model needs a file of the archives: a summary or curve, not a raw record.

    Example:
        >>> is_needed("Expt 5 - Cell A (10degC) - Processed Data.csv"), is_needed("Expt 5 - Cell A - cycling.csv")
        (True, False)
    """
    return any(pattern.fullmatch(file_name) for pattern in (SUMMARY_FILE, SET_FILE, CYCLE_FILE, CURVE_FILE))


def named_files(folder: Path, pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """Return the files below a folder whose whole name matches the pattern, in path order, without ``._`` copies."""
    return named(sorted(folder.rglob("*")), pattern)


def named(files: Iterable[Path], pattern: re.Pattern[str]) -> list[tuple[Path, re.Match[str]]]:
    """Return the files whose whole name matches the pattern."""
    return [(path, match) for path in files if (match := pattern.fullmatch(path.name))]


def group_name(expt: str) -> str:
    """Return the name of the ageing experiment in one word; a comma would read as a list in a setting.

    Example:
        >>> group_name("2,2")
        'expt2-2'
    """
    return f"expt{expt.replace(',', '-')}"


def cell_id(expt: str, letter: str) -> str:
    """Return the cell id, unique over experiments; cell letters alone are not.

    Example:
        >>> cell_id("2,2", "a")
        'expt2-2-A'
    """
    return f"{group_name(expt)}-{letter.upper()}"
