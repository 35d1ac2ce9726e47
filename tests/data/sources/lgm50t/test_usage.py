"""Set and cycle summaries as a second witness, and curves against capacities: tables written by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from battery_core.data.sources.base import SourceTables
from battery_core.data.sources.lgm50t.reader import read_lgm50t

FOLDER = "Expt 5 - Standard Cycle Aging (Control)/"
SUMMARY = FOLDER + "Summary Data/Performance Summary/Expt 5 - Cell A (10degC) - Processed Data.csv"
SETS = FOLDER + "Summary Data/Ageing Sets Summary/Summary per Set/expt 5 - Cell A - set_data.csv"
CYCLES = FOLDER + "Summary Data/Ageing Sets Summary/Summary per Cycle/expt 5 - Cell A - cycle_data.csv"
CURVE = (
    FOLDER + "Processed Timeseries Data/0.1C Voltage Curves/cell A/Expt 5 - cell A - RPT{} - 0.1C discharge data.csv"
)


def summary(**changes: list[float]) -> pd.DataFrame:
    """Five check-ups: ten cycles of 4 Ah out and 4.2 Ah in before each but the first."""
    table = {
        "Ageing Sets": [0, 1, 2, 3, 4],
        "Ageing Cycles": [0, 10, 20, 30, 40],
        "Days of degradation": [0, 2, 4, 6, 8],
        "Age set av. temperature [°C]": [np.nan, 16.0, 16.1, 16.2, 16.3],
        "Charge Throughput [A h]": [0, 82, 164, 246, 328],
        "Energy Throughput [W h]": [0, 300, 600, 900, 1200],
        "C/10 Capacity [mA h]": [4850, 4800, 4750, 4700, 4650],
        "C/2 Capacity [mA h]": [4800, 4750, 4700, 4650, 4600],
        "0.1s Resistance [Ohms]": [0.025] * 5,
    }
    return pd.DataFrame(table | {next(h for h in table if h.startswith(k)): v for k, v in changes.items()})


def sets(**changes: list[float]) -> pd.DataFrame:
    table = {
        "Ageing Set": [1, 2, 3, 4],
        "Mean temperature (degC)": [16.0, 16.1, 16.2, 16.3],
        "Throughput [mA h]": [82_000.0] * 4,
        "Energy [W h]": [300.0] * 4,
    }
    return pd.DataFrame(table | {next(h for h in table if h.startswith(k)): v for k, v in changes.items()})


def cycles() -> pd.DataFrame:
    return pd.DataFrame({"Cycle": range(40), "Charge (mAh)": 4200.0, "Discharge (A h)": 4.0, "Mean voltage [V]": 3.7})


@pytest.fixture
def read(tmp_path: Path) -> Callable[[dict[str, pd.DataFrame]], SourceTables]:
    def write_and_read(files: dict[str, pd.DataFrame]) -> SourceTables:
        for name, table in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            table.to_csv(path, index="Curves" not in name, encoding="cp1252" if name == SETS else "utf-8")
        return read_lgm50t(tmp_path)

    return write_and_read


def said(tables: SourceTables) -> list[tuple[str, int | None, str, str]]:
    return [(f.rule, f.row, f.column, f.value) for f in tables.issues]


def test_witnesses_that_agree_change_and_say_nothing(read) -> None:
    alone = read({SUMMARY: summary()})
    together = read({SUMMARY: summary(), SETS: sets(), CYCLES: cycles()})
    assert said(together) == []
    pd.testing.assert_frame_equal(together.checkups, alone.checkups)


@pytest.mark.parametrize("witness", ["each set", "running total", "charge and discharge of each cycle"])
def test_a_blank_throughput_is_taken_from_the_other_summary(read, witness: str) -> None:
    files = {
        "each set": {SETS: sets()},
        "running total": {SETS: sets(Throughput=[82_000.0, 164_000.0, 246_000.0, 328_000.0])},
        "charge and discharge of each cycle": {CYCLES: cycles()},
    }[witness]
    tables = read({SUMMARY: summary(Charge=[0, 82, np.nan, 246, 328]), **files})
    assert tables.checkups["throughput_Ah"].tolist() == pytest.approx([0.0, 82.0, 164.0, 246.0, 328.0])
    assert said(tables) == [("filled_usage", 2, "throughput_Ah", "164")]


def test_a_blank_temperature_is_taken_but_not_before_anything_has_aged(read) -> None:
    tables = read({SUMMARY: summary(**{"Age set av.": [np.nan, 16.0, 16.1, np.nan, 16.3]}), SETS: sets()})
    assert tables.checkups["temperature_degC"].tolist() == pytest.approx([np.nan, 16.0, 16.1, 16.2, 16.3], nan_ok=True)
    assert said(tables) == [("filled_usage", 3, "temperature_degC", "16.2")]


def test_blank_capacities_of_single_cycles_are_bridged(read) -> None:
    blanks = cycles()
    blanks.loc[[3, 17], ["Charge (mAh)", "Discharge (A h)"]] = np.nan
    tables = read({SUMMARY: summary(Charge=[0, 82, np.nan, 246, 328]), CYCLES: blanks})
    assert tables.checkups["throughput_Ah"].tolist() == pytest.approx([0.0, 82.0, 164.0, 246.0, 328.0])
    blanks.loc[:5, ["Charge (mAh)", "Discharge (A h)"]] = np.nan  # too many: what they were is not known
    tables = read({SUMMARY: summary(Charge=[0, 82, np.nan, 246, 328]), CYCLES: blanks})
    assert np.isnan(tables.checkups["throughput_Ah"][2])


def test_a_witness_that_says_otherwise_is_flagged_and_not_followed(read) -> None:
    tables = read({SUMMARY: summary(Energy=[0, 300, 600, 990, 1200]), SETS: sets()})
    assert tables.checkups["energy_throughput_Wh"][3] == 990.0
    assert said(tables) == [("usage_disagrees", 3, "energy_throughput_Wh", "990")]
    assert "set_data.csv says 900" in tables.issues[0].reason


def test_a_column_that_never_agrees_is_not_used_and_said(read) -> None:
    other = sets(Throughput=[7_000.0, 9_000.0, 1.0, 2.0])
    tables = read({SUMMARY: summary(Charge=[0, 82, np.nan, 246, 328]), SETS: other})
    assert np.isnan(tables.checkups["throughput_Ah"][2])
    assert said(tables) == [("unmatched_usage", None, "throughput_Ah", "")]


def test_one_check_up_that_agrees_may_be_chance(read) -> None:
    few = summary(Charge=[0, 82, np.nan, 246, 328]).iloc[:3]
    assert np.isnan(read({SUMMARY: few, SETS: sets()}).checkups["throughput_Ah"][2])


def test_a_summary_that_cannot_be_read_is_said_and_stops_nothing(read) -> None:
    tables = read({SUMMARY: summary(), CYCLES: cycles().astype({"Charge (mAh)": object}).replace(4200.0, "broken")})
    assert len(tables.checkups) == 5
    assert [(f.rule, f.action) for f in tables.issues] == [("unread_usage", "flagged")]
    assert "expected numbers; found a word" in tables.issues[0].reason


def curve(charge_mAh: float, degrees: str = "degC") -> pd.DataFrame:
    return pd.DataFrame(
        {"Time (s)": [0, 36000], "Voltage (V)": [4.19, 2.5], "Current (mA)": [-485, -485],
         "Charge (mA.h)": [0.0, -charge_mAh], f"Temperature ({degrees})": [25, 25]}
    )  # fmt: skip


def test_a_curve_that_counts_another_capacity_is_flagged(read) -> None:
    files = {CURVE.format(k): curve(4850 - 50 * k) for k in range(5)}
    assert said(read({SUMMARY: summary(), **files})) == []
    tables = read({SUMMARY: summary(), **files, CURVE.format(3): curve(4600)})  # 2.1 % less than 4700
    assert said(tables) == [("curve_capacity", 3, "capacity_Ah", "4.7")]


def test_a_curve_without_its_check_up_and_the_other_way_round_is_said(read) -> None:
    files = {CURVE.format(k): curve(4850 - 50 * k) for k in (0, 1, 2, 4, 5)}
    tables = read({SUMMARY: summary(), **files})
    assert said(tables) == [
        ("checkup_without_curve", 3, "capacity_Ah", ""),
        ("curve_without_checkup", 5, "capacity_Ah", "4.6"),
    ]
    assert tables.curves is not None
    assert set(tables.curves["checkup_index"]) == {0, 1, 2, 4, 5}


def test_a_degree_sign_in_a_curve_is_read_in_either_encoding(tmp_path: Path) -> None:
    for k, encoding in enumerate(("utf-8", "cp1252", "utf-8-sig")):
        path = tmp_path / CURVE.format(k)
        path.parent.mkdir(parents=True, exist_ok=True)
        curve(4850 - 50 * k, "°C").to_csv(path, index=False, encoding=encoding)
    path = tmp_path / SUMMARY
    path.parent.mkdir(parents=True)
    summary().to_csv(path)
    curves = read_lgm50t(tmp_path).curves
    assert curves is not None
    assert curves["temperature_degC"].tolist() == [25.0] * 6
