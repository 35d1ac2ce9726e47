"""One file of a cycler: every format gives the same numbers, every fault is one clear line."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from battery_core.data.cycler_settings import CyclerSettings
from battery_core.data.sources.cycler_folder import files as cycler_folder_files
from battery_core.data.sources.cycler_folder.files import read_export
from battery_core.errors import DataChangingError, DataError

MAP = {"time_s": "Time [s]", "voltage_V": "U [V]", "current_A": "I [A]", "temperature_degC": "T [°C]"}
PLAIN = CyclerSettings(columns=MAP)
WHERE = "cell 'A1'"
TEXT = "Time [s],U [V],I [A],T [°C]\n0,3.5,1.0,25\n10,3.51,1.0,25.1\n20,3.52,1.0,25.2\n"


def put(folder: Path, content: str | bytes, name: str = "a.csv") -> Path:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def columns(file: Path, settings: CyclerSettings = PLAIN) -> list[list[float]]:
    record = read_export(file, settings, WHERE).record
    return [record.time_s.tolist(), record.voltage_V.tolist(), record.current_A.tolist()]


EXPECTED = [[0.0, 10.0, 20.0], [3.5, 3.51, 3.52], [1.0, 1.0, 1.0]]
ALIKE = {
    "as it is": TEXT,
    "byte order mark": b"\xef\xbb\xbf" + TEXT.encode(),
    "windows text": TEXT.encode("cp1252"),
    "utf-16, as spreadsheets write Unicode text": TEXT.replace(",", "\t").encode("utf-16"),
    "gzip": gzip.compress(TEXT.encode()),
    "semicolons and decimal commas": TEXT.replace(",", ";").replace(".", ","),
    "tabs": TEXT.replace(",", "\t"),
    "quotes": TEXT.replace("Time [s]", '"Time [s]"').replace("3.51", '"3.51"'),
    "windows line ends": TEXT.replace("\n", "\r\n"),
    "a preamble": "Cycler 7\nChannel: 3, rack 2\n\n" + TEXT,
    "other columns between": TEXT.replace(",", ",x,"),
    "blank lines at the end": TEXT + "\n\n",
    "no line end at the end": TEXT.rstrip("\n"),
    "times of a clock": TEXT.replace("\n0,", "\n0:00:00,")
    .replace("\n10,", "\n0:00:10,")
    .replace("\n20,", "\n0:00:20,"),
}


@pytest.mark.parametrize("how", ALIKE)
def test_a_plain_table_however_it_is_written(how, tmp_path):
    assert columns(put(tmp_path, ALIKE[how])) == EXPECTED


def test_units_come_from_the_header_the_row_below_it_or_the_settings(tmp_path):
    scaled = "Time [min],U [mV],I [mA],T [K]\n0,3500,1000,298.15\n1,3510,1000,298.15\n"
    headers = {"time_s": "Time [min]", "voltage_V": "U [mV]", "current_A": "I [mA]", "temperature_degC": "T [K]"}
    export = read_export(put(tmp_path, scaled), CyclerSettings(columns=headers), WHERE)
    assert export.record.time_s.tolist() == [0.0, 60.0]
    assert export.record.voltage_V.tolist() == [3.5, 3.51]
    assert export.record.current_A.tolist() == [1.0, 1.0]
    assert export.record.temperature_degC.tolist() == pytest.approx([25.0, 25.0])

    two_rows = "t,U,I\nmin,mV,mA\n0,3500,1000\n1,3510,1000\n"
    bare = {"time_s": "t", "voltage_V": "U", "current_A": "I"}
    two = read_export(put(tmp_path, two_rows), CyclerSettings(columns=bare), WHERE).record
    assert (two.time_s.tolist(), two.voltage_V.tolist(), two.current_A.tolist()) == (
        [0.0, 60.0],
        [3.5, 3.51],
        [1.0, 1.0],
    )

    without = two_rows.replace("min,mV,mA\n", "")
    with pytest.raises(
        DataError, match=r"column 't': expected its unit, as in 't \[s\]'; found none - set data.cycler.u"
    ):
        read_export(put(tmp_path, without), CyclerSettings(columns=bare), WHERE)
    units = {"time_s": "min", "voltage_V": "mV", "current_A": "mA"}
    messages = read_export(put(tmp_path, without), CyclerSettings(columns=bare, units=units), WHERE).record
    assert (messages.time_s.tolist(), messages.voltage_V.tolist()) == ([0.0, 60.0], [3.5, 3.51])
    with pytest.raises(DataError, match=r"column 'I': unknown unit 'amps'.*or set data\.cycler\.units\.current_A"):
        read_export(put(tmp_path, without), CyclerSettings(columns=bare, units=units | {"current_A": "amps"}), WHERE)


BDF = TEXT.replace("Time [s],U [V],I [A],T [°C]", "Test Time / s,Voltage / V,Current / A,Surface Temperature T1 / degC")
BIOLOGIC = (
    "EC-Lab ASCII FILE\nNb header lines : 4\n\nmode\ttime/s\tEcell/V\tI/mA\tcycle number\ttemperature/°C\n"
    "1\t0,0\t3,5\t1000,0\t1\t25,0\n1\t10,0\t3,51\t1000,0\t1\t25,1\n1\t20,0\t3,52\t1000,0\t1\t25,2\n"
)
NOVONIX = (
    "[Summary]\nNovonix UHPC data file\nCell: A1\n[End Summary]\n[Data]\nDate and Time,Cycle Number,Step Type,"
    "Run Time (h),Step Time (h),Current (A),Potential (V),Capacity (Ah),Temperature (°C),Circuit Temperature (°C)\n"
    "2024-01-01 10:00:00 AM,0,1,0.0,0.0,1.0,3.5,0.0,25.0,31.0\n"
    "2024-01-01 10:00:10 AM,0,1,0.00277778,0.0027,1.0,3.51,0.0027,25.1,31.0\n"
    "2024-01-01 10:00:20 AM,0,1,0.00555556,0.0055,1.0,3.52,0.0055,25.2,31.0\n"
)


def test_battery_data_format_needs_no_map(tmp_path):
    for labels in (BDF, BDF.replace("Test Time / s", "test_time_second")):
        assert columns(put(tmp_path, labels), CyclerSettings()) == EXPECTED
    file = tmp_path / "a.bdf.parquet"
    pd.read_csv(put(tmp_path, BDF)).to_parquet(file)
    assert columns(file, CyclerSettings()) == EXPECTED
    assert read_export(file, CyclerSettings(), WHERE).kind == "BDF"


def test_a_plain_parquet_table_is_read_with_the_map(tmp_path):
    file = tmp_path / "a.parquet"
    pd.read_csv(put(tmp_path, TEXT)).to_parquet(file)
    assert columns(file) == EXPECTED
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"file 'a.parquet': the Parquet file is damaged or cut \(.*\) - copy it again"):
        columns(file)


@pytest.mark.parametrize(
    ("name", "text", "kind"), [("a.mpt", BIOLOGIC, "biologic-mpt"), ("a.csv", NOVONIX, "novonix-csv")]
)
def test_vendor_exports_are_read_by_batterydf(name, text, kind, tmp_path):
    encoding = "latin-1" if name.endswith("mpt") else "utf-8"
    export = read_export(put(tmp_path, text.encode(encoding), name), CyclerSettings(), WHERE)
    assert export.kind == f"{kind} (batterydf)"
    np.testing.assert_allclose(export.record.time_s, [0, 10, 20], atol=0.01)
    assert export.record.current_A.tolist() == [1.0, 1.0, 1.0]
    assert export.record.temperature_degC.tolist() == [25.0, 25.1, 25.2]  # of the cell, not of the circuit


def test_without_batterydf_the_command_that_installs_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(cycler_folder_files.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r'vendor exports need it: pip install -c constraints.txt -e "\.\[cycler\]"'):
        columns(put(tmp_path, NOVONIX), CyclerSettings())


LONG_ROW = TEXT.replace("10,3.51,1.0,25.1", "10,3.51,1.0,25.1,7,7,7")
FAULTS = {
    "empty": ("", r"file 'a.csv': it is empty \(0 bytes\) - export or copy it again"),
    "only a header": ("Time [s],U [V],I [A],T [°C]\n", "a header and no rows below it - is the export finished"),
    "binary": (bytes(range(256)) * 40, "binary, and no vendor format that batterydf knows - export it as CSV"),
    "not the columns of the map": (
        TEXT.replace("I [A]", "Strom [A]"),
        r"no column 'I \[A\]', as data.cycler.columns names it; found Time \[s\], U \[V\], Strom.* - correct",
    ),
    "none of the columns": (
        "a,b\n1,2\n3,4\n",
        "not Battery Data Format, no vendor format .* data.cycler.columns fits no column; found a, b - name",
    ),
    "decimal commas between commas": (
        "Time [s],U [V],I [A],T [°C]\n0,3,5,1,0,25,0\n10,3,51,1,0,25,1\n",
        "rows have 7 fields, the header 4, separated by ',' - are there decimal commas",
    ),
    "another delimiter": (TEXT.replace(",", "#"), r"data.cycler.columns fits no column; found Time \[s\]#U"),
    "the header again": (TEXT + TEXT, r"line 5 repeats the header - two exports in one file: split them"),
    "a word among the numbers": (
        TEXT.replace("3.51", "OVER"),
        r"column 'U \[V\]', line 3: expected a number, got 'OVER' \(1 such row\(s\)\) - mend it",
    ),
    "duplicate columns": (
        TEXT.replace("T [°C]", "U [V]"),
        r"column 'U \[V\]' is there 2 times; expected one for voltage_V - rename or remove the others",
    ),
    "a row with more fields": (LONG_ROW, "line 3: 7 fields, the header has 4 - mend the row"),
    "a step summary": (
        TEXT + ",,,\n" * 3 + "30,3.5,1,25\n",
        "3 of 7 rows have no time, voltage or current - export the time series",
    ),
    "a damaged gzip": (gzip.compress(TEXT.encode() * 50)[:-12], r"gzip damaged or cut \(.*\) - copy it again"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_that_says_what_to_do(fault, tmp_path):
    content, message = FAULTS[fault]
    settings = CyclerSettings(columns={**MAP, "temperature_degC": ""}) if fault == "duplicate columns" else PLAIN
    with pytest.raises(DataError, match=message) as caught:
        columns(put(tmp_path, content), settings)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(WHERE)


def test_a_column_map_that_is_not_set_is_named_with_what_was_found(tmp_path):
    with pytest.raises(
        DataError, match=r"data.cycler.columns is not set; found Time \[s\], U \[V\], I \[A\].*in params.yaml"
    ):
        columns(put(tmp_path, TEXT), CyclerSettings())


def test_a_table_that_batterydf_only_takes_for_its_ending_is_not_left_to_it(tmp_path):
    """batterydf would read it as a vendor's and keep millivolts as volts."""
    with pytest.raises(DataError, match="no vendor format that batterydf knows"):
        columns(put(tmp_path, "Time [min],U [mV],I [mA]\n0,3500,1000\n1,3510,1000\n"), CyclerSettings())


def test_a_last_row_that_was_cut_off_is_left_out_and_said(tmp_path):
    export = read_export(put(tmp_path, TEXT + "30,3.5"), PLAIN, WHERE)
    assert export.record.time_s.tolist() == [0.0, 10.0, 20.0]
    assert export.notes == (("cut_last_row", "the last row is cut off and left out: the file was still being written"),)
    assert read_export(put(tmp_path, TEXT), PLAIN, WHERE).notes == ()


def test_single_blank_rows_are_counted(tmp_path):
    rows = "".join(f"{t},3.5,1.0,25\n" if t != 50 else "50,,,\n" for t in range(200))
    export = read_export(put(tmp_path, TEXT.splitlines()[0] + "\n" + rows), PLAIN, WHERE)
    assert export.notes == (("blank_rows", "1 row(s) without time, voltage or current are left out"),)
    assert len(export.record) == 199


def test_two_gigabytes_are_refused_at_once_with_the_limit(tmp_path):
    file = put(tmp_path, TEXT)
    os.truncate(file, 2_000_000_000)  # sparse: takes no room
    with pytest.raises(DataError, match=r"2000 MB, at most 1000 MB are read .* or raise data.cycler.max_file_MB"):
        columns(file)


def test_a_gzip_that_unpacks_beyond_the_limit_is_refused(tmp_path):
    file = put(tmp_path, gzip.compress(TEXT.encode() + b"0" * 3_000_000), "a.csv.gz")
    with pytest.raises(DataError, match=r"at most 1 MB are read into memory"):
        columns(file, CyclerSettings(columns=MAP, max_file_MB=1.0))


@pytest.fixture
def nobody():
    """A folder that everybody may enter, and this process without the rights of an administrator."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    yield folder, (lambda: os.seteuid(65534)) if user == 0 else (lambda: None)
    os.seteuid(user)
    shutil.rmtree(folder)


def test_a_file_without_permission_is_named(nobody):
    folder, become_nobody = nobody
    put(folder, TEXT).chmod(0o000)
    become_nobody()
    with pytest.raises(DataError, match=r"file 'a.csv': no permission to read it - let this user read it"):
        columns(folder / "a.csv")


def test_a_file_that_changes_while_it_is_read_is_refused_and_can_be_tried_again(tmp_path, monkeypatch):
    file = put(tmp_path, TEXT)
    whole = cycler_folder_files._read

    def grows(path, *rest):
        export = whole(path, *rest)
        with path.open("a") as stream:
            stream.write("30,3.5,1.0,25\n")
        return export

    monkeypatch.setattr(cycler_folder_files, "_read", grows)
    with pytest.raises(DataChangingError, match=r"file 'a\.csv': it changed while it was read"):
        columns(file)


def test_names_with_blanks_and_degree_signs(tmp_path):
    assert columns(put(tmp_path, TEXT, "cell 1 25 °C (2).csv")) == EXPECTED


def test_date_and_time_tell_when_a_file_began(tmp_path):
    text = "when,Time [s],U [V],I [A]\n2026-01-31 12:00:00,0,3.5,1\n2026-01-31 12:00:10,10,3.51,1\n"
    headers = {"date_time": "when", "time_s": "Time [s]", "voltage_V": "U [V]", "current_A": "I [A]"}
    export = read_export(put(tmp_path, text), CyclerSettings(columns=headers), WHERE)
    assert export.starts_at_s == pd.Timestamp("2026-01-31 12:00:00", tz="UTC").timestamp()
    with pytest.raises(DataError, match=r"data.cycler.columns.date_time: expected ISO date and time"):
        read_export(put(tmp_path, text.replace("2026-01-31", "31.1.26")), CyclerSettings(columns=headers), WHERE)
