"""The LG M50T reader against small files written by hand, each with a quirk of the published ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from battery_core.data.sources.lgm50t.reader import COLUMNS, read_lgm50t
from battery_core.data.tables.schema import check_cells, check_checkups, check_curves
from battery_core.errors import DataError

EXPT5 = "Expt 5 - Standard Cycle Aging (Control)/Summary Data/Performance Summary"
EXPT22 = "Expt 2,2 - C-based Degradation 2/Summary Data/Performance Summary"
CURVES = "Expt 5 - Standard Cycle Aging (Control)/Processed Timeseries Data/0.1C Voltage Curves/cell A"
HEADER = (
    ",Ageing Sets,Ageing Cycles,Age set start date,Days of degradation,Age set av. temperature [°C],"
    "Charge Throughput [A h],Energy Throughput [W h],C/10 Capacity [mA h],C/2 Capacity [mA h],0.1s Resistance [Ohms],"
    "PE Capacity [mA h],SoH,LAM NE_tot,LLI\n"
)
ROWS = (
    "0,0,0,,0,,0,0,4850,4800,0.025,8300,1.0,0,0\n"
    "1,1,78,06/01/2020,15.5,16.3,760,2800,4700,4.6,35.2,8200,0.969,0.01,0.02\n"
    "2,2,156,21/01/2020,31,16.4,1500,5500,4560,,0.027,8100,0.940,0.02,0.04\n"
)
CURVE = "Time (s),Voltage (V),Current (mA),Charge (mA.h),Temperature (degC)\n"


def put(root: Path, folder: str, name: str, text: str, encoding: str = "utf-8") -> None:
    path = root / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    put(tmp_path, EXPT5, "Expt 5 - Cell A (10degC) - Processed Data.csv", HEADER + ROWS)
    return tmp_path


def test_one_cell_gives_the_table_written_by_hand(raw: Path) -> None:
    checkups = read_lgm50t(raw).checkups
    wanted = {
        "cell_id": ["expt5-A"] * 3,
        "checkup_index": [0, 1, 2],
        "cycle_count": [0.0, 78.0, 156.0],
        "time_days": [0.0, 15.5, 31.0],
        "throughput_Ah": [0.0, 760.0, 1500.0],
        "capacity_Ah": [4.85, 4.7, 4.56],
        "resistance_ohm": [0.025, np.nan, 0.027],  # 35.2 Ohm is a bad reading
        "temperature_degC": [np.nan, 16.3, 16.4],  # nothing has aged before check-up 0
        "energy_throughput_Wh": [0.0, 2800.0, 5500.0],
        "capacity_c2_Ah": [4.8, 0.0046, np.nan],  # 4.6 mAh stays 4.6 mAh: the header says so; a blank stays blank
        "pe_capacity_Ah": [8.3, 8.2, 8.1],
        "published_soh": [1.0, 0.969, 0.94],
        "lam_ne_tot": [0.0, 0.01, 0.02],
        "lli": [0.0, 0.02, 0.04],
        "ne_si_capacity_Ah": [np.nan] * 3,  # a fitted column the file does not have
    }
    pd.testing.assert_frame_equal(checkups[list(wanted)], pd.DataFrame(wanted), check_dtype=False)


def test_a_bad_resistance_is_said(raw: Path) -> None:
    (finding,) = read_lgm50t(raw).issues
    assert (finding.cell_id, finding.row, finding.rule, finding.value) == ("expt5-A", 1, "bad_resistance", "35.2")
    assert finding.action == "flagged"


def test_names_differ_in_case_and_comma(raw: Path) -> None:
    put(raw, EXPT22, "expt 2,2 - cell a (25degC) - processed data.csv", HEADER + ROWS)
    cells = read_lgm50t(raw).cells
    assert cells["cell_id"].tolist() == ["expt2-2-A", "expt5-A"]
    assert cells["group"].tolist() == ["expt2-2", "expt5"]
    assert cells["protocol"].tolist() == ["70-85 % SOC cycling", "0-100 % SOC cycling"]
    assert cells["ambient_temperature_degC"].tolist() == [25.0, 10.0]
    assert set(cells["nominal_capacity_Ah"]) == {5.0}


def test_the_unit_is_in_the_header(raw: Path) -> None:
    in_Ah = HEADER.replace("C/10 Capacity [mA h]", "C/10 Capacity [A h]").replace("[Ohms]", "[mOhms]")
    put(raw, EXPT22, "Expt 2,2 - cell C (25degC) - Processed Data.csv", in_Ah + "0,0,0,,0,,0,0,4.85,4800,25,,,,\n")
    first = read_lgm50t(raw).checkups.query("checkup_index == 0").set_index("cell_id")
    assert first.loc["expt2-2-C", "capacity_Ah"] == pytest.approx(first.loc["expt5-A", "capacity_Ah"])
    assert first.loc["expt2-2-C", "resistance_ohm"] == pytest.approx(0.025)


def test_a_degree_sign_of_another_encoding_is_read(tmp_path: Path) -> None:
    put(tmp_path, EXPT5, "Expt 5 - cell B (10degC) - Processed Data.csv", HEADER + ROWS, encoding="cp1252")
    assert read_lgm50t(tmp_path).checkups["temperature_degC"].tolist()[1:] == [16.3, 16.4]


def test_a_blank_capacity_is_left_for_the_quality_check(tmp_path: Path) -> None:
    rows = ROWS.replace("4560", "")
    put(tmp_path, EXPT5, "Expt 5 - cell B (10degC) - Processed Data.csv", HEADER + rows)
    tables = read_lgm50t(tmp_path)
    assert tables.rows_read == 3
    assert np.isnan(tables.checkups["capacity_Ah"].iloc[2])


def test_curves_give_the_table_written_by_hand(raw: Path) -> None:
    put(raw, CURVES, "Expt 5 - cell A - RPT10 - 0.1C discharge data.csv", CURVE + "0,4.1,-500,0,25\n")
    put(raw, CURVES, "Expt 5 - Cell A - RPT2 - 0.1C discharge data.csv",
        CURVE + "0,4.19,-500,-1.5,25.1\n360,4.15,-500.5,-51.5,25\n")  # fmt: skip
    put(raw, CURVES, "._Expt 5 - cell A - RPT3 - 0.1C discharge data.csv", "\x00")
    wanted = {
        "cell_id": ["expt5-A"] * 3,
        "checkup_index": [2, 2, 10],
        "half_cycle": ["discharge"] * 3,
        "time_s": [0.0, 360.0, 0.0],
        "voltage_V": [4.19, 4.15, 4.1],
        "current_A": [-0.5, -0.5005, -0.5],
        "capacity_Ah": [0.0, 0.05, 0.0],
        "temperature_degC": [25.1, 25.0, 25.0],
    }
    curves = read_lgm50t(raw).curves
    assert curves is not None
    pd.testing.assert_frame_equal(curves, pd.DataFrame(wanted), check_dtype=False)
    check_curves(curves)


def test_tables_pass_the_schema_at_the_door(raw: Path) -> None:
    tables = read_lgm50t(raw)
    check_cells(tables.cells)
    check_checkups(tables.checkups, COLUMNS)
    assert tables.curves is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("C/10 Capacity [mA h]", "C10", r"'expt5-A', source 'lgm50t': no column \"C/10 Capacity \[Ah\]\".*found .*C10"),
        ("C/10 Capacity [mA h]", "C/10 Capacity", r"column \"C/10 Capacity\": expected its unit, like \[Ah\]"),
        ("C/10 Capacity [mA h]", "C/10 Capacity [V]", r"cell 'expt5-A'.*unit 'V' measures voltage, not charge"),
        ("4700", "broken", r"'expt5-A', source 'lgm50t': column \"C/10 Capacity \[mA h\]\": expected numbers.*broken"),
        ("1,1,78", "1,,78", r"column \"Ageing Sets\": expected 0, 1, 2 and so on; found a blank"),
        ("1,1,78", "1,1.5,78", r"column \"Ageing Sets\": expected 0, 1, 2 and so on; found 1\.5"),
        ("1,1,78", "1,-1,78", r"column \"Ageing Sets\": expected 0, 1, 2 and so on; found -1"),
        (ROWS, "", r"'expt5-A', source 'lgm50t': Expt 5 .* has a header but no rows - fetch it again or remove it"),
    ],
)  # fmt: skip
def test_a_wrong_file_gives_one_clear_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    put(tmp_path, EXPT5, "Expt 5 - Cell A (10degC) - Processed Data.csv", (HEADER + ROWS).replace(old, new))
    with pytest.raises(DataError, match=message) as caught:
        read_lgm50t(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_curve_without_its_column_gives_one_clear_line(raw: Path) -> None:
    text = CURVE.replace("Voltage (V)", "Ecell (V)") + "0,4.1,-500,0,25\n"
    put(raw, CURVES, "Expt 5 - cell A - RPT0 - 0.1C discharge data.csv", text)
    with pytest.raises(DataError, match=r"'expt5-A', source 'lgm50t': no column \"Voltage \(V\)\".*Ecell"):
        read_lgm50t(raw)


def test_two_files_for_one_cell_are_refused(raw: Path) -> None:
    put(raw, EXPT5 + " copy", "Expt 5 - cell a (10degC) - Processed Data.csv", HEADER + ROWS)
    with pytest.raises(DataError, match="cell 'expt5-A', source 'lgm50t': two performance summaries"):
        read_lgm50t(raw)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file 'Expt N - cell X"):
        read_lgm50t(tmp_path)
