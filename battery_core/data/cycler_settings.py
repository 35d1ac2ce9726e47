"""Settings of your own cycler data: location of the files, meaning of the columns, rule for check-ups."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from battery_core.base_settings import SectionSettings, setting

CheckupRule = Literal["every_full_cycle", "low_rate"]
CurrentSign = Literal["auto", "charge_positive", "charge_negative"]


class ColumnMap(SectionSettings):
    """Map columns to the headers of a plain table; the unit comes from the header or ``data.cycler.units``.

    Example:
        >>> ColumnMap(time_s="Time [min]").named_headers()
        {'time_s': 'Time [min]'}
    """

    time_s: str = setting("", "header of the test time, counted from the start of the test, such as 'Time [min]'")
    voltage_V: str = setting("", "header of the cell voltage, such as 'U [V]'")
    current_A: str = setting("", "header of the current, such as 'I [mA]'")
    temperature_degC: str = setting("", "header of the cell temperature; none: not measured")
    cycle: str = setting("", "header of the cycle number; none: cycles are found from the current")
    date_time: str = setting("", "header of date and time (ISO), which tells how long cells waited between files")

    def named_headers(self) -> dict[str, str]:
        """Return the headers that are set, by column."""
        return {name: header for name, header in self if header}


class ColumnUnits(SectionSettings):
    """Set the units of a plain table whose headers state none or a wrong one; these override the header."""

    time_s: str = setting("", "unit of the test time: s, min, h, ms, d")
    voltage_V: str = setting("", "unit of the voltage: V, mV")
    current_A: str = setting("", "unit of the current: A, mA")
    temperature_degC: str = setting("", "unit of the temperature: degC, K")


class CyclerSettings(SectionSettings):
    """Set how a folder of cycler exports is read.

    Example:
        >>> CyclerSettings(folder="lab", columns={"time_s": "Time [min]"}).columns.time_s
        'Time [min]'
    """

    folder: Path | None = setting(None, "folder of cycler exports with its cells.csv or cells.yaml")
    ignore: tuple[str, ...] = setting(
        ("*.md", "*.pdf", "*.docx", "*.png", "*.jpg", "README*"), "file names in the folder that hold no cycler data"
    )
    columns: ColumnMap = Field(default_factory=ColumnMap, description="headers of plain tables")
    units: ColumnUnits = Field(default_factory=ColumnUnits, description="units of plain tables")
    current_sign: CurrentSign = setting(
        "auto", "current of plain tables: charge_positive, charge_negative, or auto: as the voltage tells"
    )
    checkup_rule: CheckupRule = setting(
        "every_full_cycle", "check-ups: every_full_cycle, or low_rate (full discharges at or below low_rate)"
    )
    low_rate: float = setting(0.11, "highest mean C-rate of a check-up, for low_rate", unit="1/h", gt=0.0)
    lower_cutoff_V: float | None = setting(
        None, "a full discharge ends here; none: lowest voltage of the cell's first file", unit="V", gt=0.0
    )
    upper_cutoff_V: float | None = setting(
        None, "a full charge ends here; none: highest voltage of the cell's first file", unit="V", gt=0.0
    )
    cutoff_tolerance_V: float = setting(0.05, "a cut-off counts as reached this close to it", unit="V", ge=0.0)
    rest_current: float = setting(0.002, "smaller currents are rest, as C-rate", unit="1/h", gt=0.0)
    min_half_cycle: float = setting(
        0.05, "a change of direction that passes less charge is no new half cycle", unit="of nominal", gt=0.0, lt=1.0
    )
    max_gap_s: float = setting(
        900.0, "a longer gap between two rows under current is a hole in the record", unit="s", gt=0.0
    )
    coulomb_tolerance: float = setting(
        0.05, "charge and discharge of a check-up that differ by more are flagged", unit="fraction", gt=0.0
    )
    max_file_MB: float = setting(1000.0, "a larger file (unpacked) is refused", unit="MB", gt=0.0)
