"""A folder of cycler exports becomes the same canonical tables, however its files are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_core.data.settings import DataSettings
from battery_core.data.sources.cycler_folder.cells import CellMetadata
from battery_core.data.sources.cycler_folder.source import CyclerFolder
from battery_core.data.sources.cycler_folder.tables import read_tables
from battery_core.data.tables.roles import Role
from battery_core.errors import DataError

HEADERS = {"time_s": "t [{}]", "voltage_V": "U [{}]", "current_A": "I [{}]", "temperature_degC": "T [degC]"}
PER = {"s": 1.0, "min": 1 / 60, "h": 1 / 3600, "V": 1.0, "mV": 1e3, "A": 1.0, "mA": 1e3, "degC": 1.0}
METADATA = CellMetadata("A1", 2.0, ambient_temperature_degC=25.0, lower_cutoff_V=2.8, upper_cutoff_V=4.2)


def write(file: Path, record: pd.DataFrame, time="s", voltage="V", current="A", sign=1.0, shift=0.0) -> Path:
    """A plain table in the units and with the sign given."""
    table = {
        f"t [{time}]": (record["time_s"] + shift) * PER[time],
        f"U [{voltage}]": record["voltage_V"] * PER[voltage],
        f"I [{current}]": sign * record["current_A"] * PER[current],
        "T [degC]": record["temperature_degC"],
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).to_csv(file, index=False)
    return file


def of(time="s", voltage="V", current="A", **more) -> DataSettings:
    """Settings whose column map fits ``write``."""
    units = {"time_s": time, "voltage_V": voltage, "current_A": current, "temperature_degC": "degC"}
    headers = {name: header.format(units[name]) for name, header in HEADERS.items()}
    return DataSettings(source="cycler_folder", cycler={"columns": headers, **more})


@pytest.fixture(scope="module")
def cell(synthetic_cell):
    return synthetic_cell.cycled(5)


@pytest.fixture(scope="module")
def tables(cell, tmp_path_factory):
    file = write(tmp_path_factory.mktemp("plain") / "a.csv", cell.record)
    return read_tables(METADATA, [file], of())


def same(tables, expected, rtol=1e-4):
    pd.testing.assert_frame_equal(tables.checkups, expected.checkups, check_dtype=False, rtol=rtol, atol=1e-4)
    pd.testing.assert_frame_equal(tables.cells, expected.cells)
    pd.testing.assert_frame_equal(tables.curves, expected.curves, rtol=rtol, atol=1e-4)


def test_check_ups_are_what_the_cell_did(tables, cell):
    rows = tables.checkups
    np.testing.assert_allclose(rows["capacity_Ah"], cell.capacities_Ah, rtol=2e-4)
    assert rows["checkup_index"].tolist() == [0, 1, 2, 3, 4]
    assert rows["cycle_count"].tolist() == [0, 1, 2, 3, 4]
    assert rows["time_days"].iloc[0] == 0.0
    assert rows["throughput_Ah"].iloc[0] == 0.0
    passed = np.abs(np.diff(cell.record["time_s"]) * (cell.record["current_A"].to_numpy()[1:])).sum() / 3600
    assert rows["throughput_Ah"].iloc[-1] == pytest.approx(passed * 4 / 5, rel=0.03)
    np.testing.assert_allclose(rows["temperature_degC"], 25.0, atol=0.1)
    assert rows["cc_charge_Ah"].notna().all()  # measured from the charge before
    assert (tables.rows_read, tables.quarantined) == (5, None)
    assert tables.cells.loc[0, ["cell_id", "nominal_capacity_Ah", "group"]].tolist() == ["A1", 2.0, "all"]


def test_curves_have_the_charge_and_the_discharge_of_each_check_up_from_zero(tables):
    curves = tables.curves
    assert curves.groupby("checkup_index")["half_cycle"].unique().map(list).tolist() == [["charge", "discharge"]] * 5
    firsts = curves.groupby(["checkup_index", "half_cycle"])[["time_s", "capacity_Ah"]].first()
    assert (firsts == 0.0).all(axis=None)
    ends = curves[curves["half_cycle"] == "discharge"].groupby("checkup_index")["capacity_Ah"].last()
    np.testing.assert_allclose(ends, tables.checkups["capacity_Ah"], rtol=5e-4)


def test_no_column_that_is_the_label_is_called_a_measurement(tables):
    roles = CyclerFolder().roles()
    assert set(tables.checkups.columns) - {"cell_id", "checkup_index"} == set(roles)
    assert roles["capacity_Ah"] == Role.LABEL_EQUIVALENT
    allowed = [c for c in tables.checkups if roles.get(c) in (Role.MEASUREMENT, Role.USAGE)]
    label = tables.checkups["capacity_Ah"].to_numpy()
    for column in allowed:
        values = tables.checkups[column].to_numpy(dtype=float)
        assert not np.allclose(values, label, rtol=0.02), column


UNITS = st.tuples(st.sampled_from(["s", "min", "h"]), st.sampled_from(["V", "mV"]), st.sampled_from(["A", "mA"]))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(units=UNITS, turned=st.booleans(), shift=st.floats(0.0, 1e6))
def test_units_sign_and_origin_of_time_change_nothing(units, turned, shift, tables, cell, tmp_path):
    time, voltage, current = units
    file = write(tmp_path / "a.csv", cell.record, time, voltage, current, -1.0 if turned else 1.0, shift)
    messages = {"current_sign": "charge_negative" if turned else "charge_positive"}
    same(read_tables(METADATA, [file], of(time, voltage, current, **messages)), tables)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(step=st.floats(5.0, 30.0))
def test_resampling_changes_capacities_by_less_than_a_sample(step, tables, cell, tmp_path):
    time = np.arange(0.0, cell.record["time_s"].iloc[-1], step)
    names = ("voltage_V", "current_A", "temperature_degC")
    again = pd.DataFrame({"time_s": time} | {n: np.interp(time, cell.record["time_s"], cell.record[n]) for n in names})
    rows = read_tables(METADATA, [write(tmp_path / "a.csv", again)], of(cutoff_tolerance_V=0.3)).checkups
    expected = tables.checkups
    np.testing.assert_allclose(rows["capacity_Ah"], expected["capacity_Ah"], atol=2.0 * step / 3600)
    np.testing.assert_allclose(rows["throughput_Ah"], expected["throughput_Ah"], rtol=2e-3, atol=0.01)
    np.testing.assert_allclose(rows["cycle_count"], expected["cycle_count"])


def test_an_undeclared_sign_is_turned_where_the_voltage_leaves_no_doubt_and_said(tables, cell, tmp_path):
    found = read_tables(METADATA, [write(tmp_path / "a.csv", cell.record, sign=-1.0)], of())
    same(found, tables)
    assert [f.rule for f in found.issues] == ["sign_turned"]
    with pytest.raises(
        DataError, match=r"current_sign says charge_positive, but the voltage falls .* set it to charge_neg"
    ):
        read_tables(METADATA, [tmp_path / "a.csv"], of(current_sign="charge_positive"))
    write(tmp_path / "a.csv", cell.record.assign(current_A=cell.record["current_A"].abs()))
    with pytest.raises(DataError, match="expected charge and discharge to differ in sign, got one sign while"):
        read_tables(METADATA, [tmp_path / "a.csv"], of())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"time": "min"}, r"column 't \[s\]'.*if it is min, set data.cycler.units.time_s: min"),
        ({"time": "h"}, r"column 't \[s\]'.*if it is h, set data.cycler.units.time_s: h"),
        ({"current": "mA"}, r"column 'I \[A\]'.*if it is mA, set data.cycler.units.current_A: mA"),
        ({"voltage": "mV"}, r"column 'U \[V\]'.*if it is mV, set data.cycler.units.voltage_V: mV"),
    ],
)
def test_a_header_that_lies_about_its_unit_is_found_out_and_mended_by_the_setting(
    wrong, message, tables, cell, tmp_path
):
    file = write(tmp_path / "a.csv", cell.record, **wrong)
    lying = file.read_text().replace("[min]", "[s]").replace("[h]", "[s]").replace("[mA]", "[A]").replace("[mV]", "[V]")
    file.write_text(lying)
    with pytest.raises(DataError, match=message):
        read_tables(METADATA, [file], of())
    (quantity, unit), *_ = wrong.items()
    column = {"time": "time_s", "current": "current_A", "voltage": "voltage_V"}[quantity]
    same(read_tables(METADATA, [file], of(units={column: unit})), tables)


def in_parts(folder: Path, record: pd.DataFrame, cut: int, gap=0.0, restart=True) -> list[Path]:
    first, second = record.iloc[:cut], record.iloc[cut:]
    shift = gap - (second["time_s"].iloc[0] if restart else 0.0)
    return [write(folder / "run_2.csv", first), write(folder / "run_10.csv", second, shift=shift)]


def test_files_that_go_on_in_time_are_one_record(tables, cell, tmp_path):
    for cut in (300, 777):  # also in the middle of a half cycle
        files = in_parts(tmp_path, cell.record, cut, restart=False)
        found = read_tables(METADATA, files, of())
        same(found, tables)
        assert found.issues == []


def test_time_that_starts_anew_is_joined_and_said(tables, cell, tmp_path):
    found = read_tables(METADATA, in_parts(tmp_path, cell.record, 777), of())
    assert [f.rule for f in found.issues] == ["time_restarts"]
    np.testing.assert_allclose(found.checkups["capacity_Ah"], tables.checkups["capacity_Ah"], rtol=0.02)


def test_the_same_file_twice_and_a_wrong_order_are_refused(cell, tmp_path):
    first = write(tmp_path / "run_1.csv", cell.record.iloc[:500])
    longer = write(tmp_path / "run_2.csv", cell.record)
    with pytest.raises(
        DataError, match=r"file 'run_2.csv': it begins with the same rows as 'run_1.csv' - keep the longer"
    ):
        read_tables(METADATA, [first, longer], of())


def dated(file: Path, record: pd.DataFrame, start: str) -> Path:
    stamps = pd.Timestamp(start) + pd.to_timedelta(record["time_s"] - record["time_s"].iloc[0], unit="s")
    columns = {"time_s": "Test Time / s", "voltage_V": "Voltage / V", "current_A": "Current / A"}
    table = record[list(columns)].rename(columns=columns)
    table["Unix Time / s"] = (stamps - pd.Timestamp(0)).dt.total_seconds()
    table.to_csv(file, index=False)
    return file


def test_dates_count_the_days_between_files_and_show_a_wrong_order(cell, tmp_path):
    part = cell.record[cell.record["cycle"] <= 2]
    files = [
        dated(tmp_path / "a.csv", part, "2026-01-01"),
        dated(tmp_path / "b.csv", part * [1, 1, 1, 1, 1.0], "2026-02-01"),
    ]
    with pytest.raises(DataError, match="begins with the same rows"):
        read_tables(METADATA, files, of())
    later = cell.record[cell.record["cycle"] > 2]
    found = read_tables(METADATA, [files[0], dated(tmp_path / "b.csv", later, "2026-02-01")], of())
    assert found.checkups["time_days"].iloc[2] == pytest.approx(31.0, abs=0.01)
    with pytest.raises(
        DataError, match=r"file 'b.csv': it begins .* h before 'a.csv' ends - files are taken in order of"
    ):
        read_tables(METADATA, [files[0], dated(tmp_path / "b.csv", later, "2025-12-01")], of())


def test_the_cyclers_own_cycle_numbers_count_from_zero_over_files_that_start_anew(cell, tmp_path):
    columns = {
        "time_s": "Test Time / s",
        "voltage_V": "Voltage / V",
        "current_A": "Current / A",
        "cycle": "Cycle Count / 1",
    }
    table = cell.record.rename(columns=columns)[list(columns.values())]
    table["Cycle Count / 1"] = table["Cycle Count / 1"] * 3  # as where it counts pauses, too
    table.iloc[:777].to_csv(tmp_path / "a.csv", index=False)
    rest = table.iloc[777:].copy()
    rest["Cycle Count / 1"] -= rest["Cycle Count / 1"].iloc[0] - 1
    rest.to_csv(tmp_path / "b.csv", index=False)
    rows = read_tables(METADATA, [tmp_path / "a.csv", tmp_path / "b.csv"], of()).checkups
    counts = rows["cycle_count"].tolist()
    assert counts[:3] == [0.0, 3.0, 6.0]
    assert np.all(np.diff(counts) > 0)


def test_a_discharge_with_a_hole_is_quarantined_and_counted(cell, tmp_path):
    fast = np.flatnonzero(cell.record["current_A"] < -1.9)
    holed = cell.record.drop(index=fast[70:90])
    found = read_tables(METADATA, [write(tmp_path / "a.csv", holed)], of())
    assert (found.rows_read, len(found.checkups), len(found.quarantined)) == (5, 4, 1)
    assert found.checkups["checkup_index"].tolist() == [0, 2, 3, 4]
    out = [f for f in found.issues if f.action == "quarantined"]
    assert [(f.row, f.rule) for f in out] == [(1, "hole_in_discharge")]
    assert any(f.rule == "hole" for f in found.issues)


def test_rates_that_differ_are_said_and_the_slow_rule_takes_the_slow_ones(synthetic_cell, tmp_path):
    mixed = synthetic_cell.cycled(5, slow_every=3)
    file = write(tmp_path / "a.csv", mixed.record)
    (finding,) = read_tables(METADATA, [file], of()).issues
    assert finding.rule == "rates_differ"
    assert "from 0.1 C to 1 C" in finding.reason
    slow = read_tables(METADATA, [file], of(checkup_rule="low_rate"))
    np.testing.assert_allclose(slow.checkups["capacity_Ah"], np.array(mixed.capacities_Ah)[[0, 3]], rtol=1e-3)
    assert slow.checkups["cycle_count"].tolist() == [0, 3]
    assert slow.issues == []


def test_a_cell_without_a_check_up_says_why(cell, tmp_path):
    file = write(tmp_path / "a.csv", cell.record)
    missed = CellMetadata("A1", 2.0, lower_cutoff_V=2.5, upper_cutoff_V=4.2)
    for metadata, how, why in (
        (missed, {}, r"5 discharge\(s\), none from 4.200 to 2.500 V \(seen: 4.20\d to 2.80\d V\)"),
        (
            METADATA,
            {"checkup_rule": "low_rate"},
            "the slowest of 5 full discharges runs at 1 C: raise data.cycler.low_rate",
        ),
    ):
        found = read_tables(metadata, [file], of(**how))
        assert (len(found.cells), len(found.checkups), found.rows_read) == (0, 0, 0)
        with pytest.raises(DataError, match=why):
            raise DataError(found.issues[-1].reason)


def test_cut_offs_that_are_not_stated_are_those_of_the_first_file(tables, cell, tmp_path):
    found = read_tables(
        CellMetadata("A1", 2.0, ambient_temperature_degC=25.0), [write(tmp_path / "a.csv", cell.record)], of()
    )
    assert [f.rule for f in found.issues] == ["window_from_data"]
    np.testing.assert_allclose(found.checkups["capacity_Ah"], tables.checkups["capacity_Ah"], rtol=5e-4)


@pytest.mark.reference
def test_capacities_of_a_measured_cell_are_those_its_publisher_recorded(reference_root, tmp_path):
    """A published NASA cell as plain tables: 72 discharges, each integrated by its publisher down to 2.7 V."""
    mat = scipy.io.loadmat(reference_root / "nasa_pcoe" / "B0047.mat", simplify_cells=True)["B0047"]["cycle"]
    parts, recorded = [], []
    for cycle in mat:
        if cycle["type"] in ("charge", "discharge"):
            series, start = cycle["data"], pd.Timestamp(*(int(part) for part in cycle["time"][:5])).timestamp()
            names = {"Time": "t [s]", "Voltage_measured": "U [V]", "Current_measured": "I [A]"}
            part = pd.DataFrame({header: np.asarray(series[name]) for name, header in names.items()})
            parts.append(part.assign(**{"t [s]": part["t [s]"] + start, "T [degC]": series["Temperature_measured"]}))
        if cycle["type"] == "discharge":
            recorded.append(float(cycle["data"]["Capacity"]))
    pd.concat(parts).to_csv(tmp_path / "B0047.csv", index=False)
    metadata = CellMetadata("B0047", 2.0, lower_cutoff_V=2.7, upper_cutoff_V=4.2)
    found = read_tables(metadata, [tmp_path / "B0047.csv"], of())
    ours = found.checkups.set_index("cycle_count")["capacity_Ah"]
    assert len(recorded) == 72
    assert len(ours) == 69  # three begin before the cell was full, or stop above 2.7 V
    np.testing.assert_allclose(ours, np.array(recorded)[ours.index.astype(int)], rtol=1e-2)


def test_charge_and_discharge_that_cannot_belong_together_are_refused(cell, tmp_path):
    lame = cell.record.assign(
        current_A=cell.record["current_A"].where(cell.record["current_A"] < 0, 0.5 * cell.record["current_A"])
    )
    with pytest.raises(
        DataError, match=r"column 'I \[A\]': expected as much charge in as out .* got 0.49 in for 1 out"
    ):
        read_tables(METADATA, [write(tmp_path / "a.csv", lame)], of())
