"""NASA records: a hand-made MAT file with every quirk, and the twelve real cells."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.io

from battery_core.data.extraction.measuring import ROLES
from battery_core.data.quality.rules import check_rows
from battery_core.data.settings import DataSettings, SplitSettings
from battery_core.data.sources.base import SourceTables
from battery_core.data.sources.nasa_pcoe.label import reintegrated_capacity
from battery_core.data.sources.nasa_pcoe.mat_file import read_records
from battery_core.data.sources.nasa_pcoe.source import NasaPcoe
from battery_core.data.splits.make import make_split
from battery_core.data.tables import schema
from battery_core.data.tables.roles import Role
from battery_core.errors import DataError

SETTINGS = DataSettings(source="nasa_pcoe")
START = dt.datetime(2009, 2, 13, 12)


def series(time, voltage, current, temperature=25.0) -> dict[str, Any]:
    time, voltage, current = (np.asarray(values, dtype=float) for values in (time, voltage, current))
    return {
        "Time": time,
        "Voltage_measured": voltage,
        "Current_measured": current,
        "Temperature_measured": np.full(len(time), temperature),
    }


def discharge(capacity: Any = "right", to_V: float = 2.0, load_A: float = 2.0, temperature: float = 30.0):
    """A line from 4.2 V down, 0.5 V an hour at 2 A; the sample that first is below 2.7 V counts as the end."""
    time = np.arange(0.0, (4.2 - to_V) / 0.5 * 3600.0 + 1.0, 10.0)
    voltage = 4.2 - 0.5 * time / 3600.0 - 1e-4
    data = series(time, voltage, np.full(len(time), -load_A), temperature)
    whole = load_A * 3.0  # 4.2 -> 2.7 V takes 3 h
    return "discharge", {**data, "Capacity": whole if isinstance(capacity, str) else capacity}


def charge(hours: float = 1.0, temperature: float = 25.0):
    time = np.linspace(0.0, hours * 3600.0, 200)
    return "charge", series(time, 3.5 + 0.7 * time / time[-1], np.full(200, 1.5), temperature)


def impedance(re: Any, rct: Any = 0.1):
    return "impedance", {"Sense_current": np.array([1 + 2j, 3 - 1j]), "Re": re, "Rct": rct}


def write(folder: Path, *records, name: str = "B0099", ambient=24.0) -> Path:
    """A MAT v5 file as NASA has them: one struct array of records, each a day after the one before."""
    cycles = np.zeros(len(records), dtype=[(k, object) for k in ("type", "ambient_temperature", "time", "data")])
    for i, (kind, data) in enumerate(records):
        when = START + dt.timedelta(days=i)
        chamber = ambient[i] if isinstance(ambient, list) else ambient
        vector = [when.year, when.month, when.day, when.hour, when.minute, when.second + 0.5]
        cycles[i] = (kind, chamber, np.array(vector), data)
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / f"{name}.mat", {name: {"cycle": cycles}})
    return folder


def read(folder: Path, name: str = "B0099") -> SourceTables:
    source = NasaPcoe()
    (cell,) = [c for c in source.cell_files(folder, SETTINGS) if c.cell_id == name]
    tables = source.read_cell(folder, cell, SETTINGS)
    schema.check_cells(tables.cells)
    schema.check_checkups(tables.checkups, source.columns)
    assert tables.curves is not None
    schema.check_curves(tables.curves)
    assert tables.rows_read == len(tables.checkups) + (0 if tables.quarantined is None else len(tables.quarantined))
    return tables


def test_a_cell_worked_out_by_hand(tmp_path):
    folder = write(
        tmp_path, impedance(0.05), charge(1.0, 26.0), discharge(), impedance(0.06), charge(2.0, 20.0), discharge()
    )  # fmt: skip
    tables = read(folder)
    rows = tables.checkups
    assert tables.issues == []
    assert rows["checkup_index"].tolist() == rows["cycle_count"].tolist() == [0, 1]
    assert rows["time_days"].tolist() == [2.0, 5.0]
    assert rows["capacity_Ah"].tolist() == [6.0, 6.0]
    assert rows["reintegrated_capacity_Ah"].tolist() == pytest.approx([6.0, 6.0], rel=2e-3)
    assert rows["throughput_Ah"].tolist() == pytest.approx([0.0, 1.5 + 8.8], rel=1e-3)  # not its own charge, nor itself
    assert rows["impedance_re_ohm"].tolist() == [0.05, 0.06]
    assert rows["temperature_max_degC"].tolist() == [26.0, 30.0]
    discharge_h = (4.2 - 2.0) / 0.5
    mean = (30.0 * discharge_h + 20.0 * 2.0) / (discharge_h + 2.0)
    assert rows["temperature_mean_degC"].tolist() == pytest.approx([26.0, mean], rel=1e-3)
    cell = tables.cells.iloc[0]
    assert (cell["cell_id"], cell["group"], cell["ambient_temperature_degC"]) == ("B0099", "24 degC", 24.0)
    assert cell["protocol"] == "charge 1.5 A to 4.2 V, discharge 2 A to 2 V"
    counts = tables.curves.groupby(["checkup_index", "half_cycle"]).size()
    assert counts[:, "charge"].tolist() == [200, 200]
    assert (tables.curves["current_A"] > 0).equals(tables.curves["half_cycle"] == "charge")


@pytest.mark.parametrize(
    ("record", "rule", "action", "reason"),
    [
        (discharge(0.0, to_V=3.0), "cut_short", "quarantined", "ends at 3.00 V, above 2.7 V: cut short"),
        (discharge(4.0, to_V=3.0), "cut_short", "quarantined", "ends at 3.00 V, above 2.7 V: cut short"),
        (discharge(0.0), "no_label", "quarantined", "no capacity was recorded"),
        (discharge(np.array([])), "no_label", "quarantined", "no capacity was recorded"),
        (discharge(np.nan), "no_label", "quarantined", "no capacity was recorded"),
        (discharge(6.3), "capacity_disagrees", "flagged", r"gives 6.00\d\d Ah, -4.8%: kept"),
        (discharge(to_V=2.3), "cut_short", "flagged", "ends above the cell's own cut-off of 2 V"),
    ],
)
def test_a_discharge_that_is_not_what_it_should_be(tmp_path, record, rule, action, reason):
    whole = [step for _ in range(10) for step in (charge(), discharge())]
    tables = read(write(tmp_path, charge(), record, *whole))
    (finding,) = tables.issues
    assert (finding.row, finding.rule, finding.action) == (0, rule, action)
    assert re.search(reason, finding.reason)
    lost = action == "quarantined"
    assert tables.rows_read == 11
    assert tables.checkups["checkup_index"].tolist() == list(range(1 if lost else 0, 11))
    assert (tables.quarantined is not None) == lost


def test_a_discharge_of_a_cell_that_was_not_seen_charging_is_no_label(tmp_path):
    tables = read(write(tmp_path, discharge(), charge(), discharge()))
    (finding,) = tables.issues
    assert (finding.row, finding.rule, finding.action) == (0, "no_charge_before", "quarantined")
    assert "how full the cell was is not known" in finding.reason
    assert tables.checkups["checkup_index"].tolist() == [1]
    assert tables.checkups["throughput_Ah"].iloc[0] == pytest.approx(8.8, rel=1e-3)  # it was used all the same


def test_a_discharge_of_a_cell_that_was_not_full_is_no_label(tmp_path):
    kind, data = discharge()
    late = data["Voltage_measured"] < 4.0
    begins_low = {k: v[late] if isinstance(v, np.ndarray) else v for k, v in data.items()}
    (finding,) = read(write(tmp_path, charge(), (kind, begins_low), charge(), discharge())).issues
    assert (finding.row, finding.rule, finding.action) == (0, "not_full", "quarantined")
    assert "begins at 4.00 V at rest, below 4.05 V" in finding.reason


def test_a_discharge_without_a_capacity_field_is_kept_out(tmp_path):
    kind, data = discharge()
    del data["Capacity"]
    tables = read(write(tmp_path, charge(), (kind, data), charge(), discharge()))
    assert [f.rule for f in tables.issues] == ["no_label"]
    assert tables.quarantined is not None
    assert tables.quarantined["checkup_index"].tolist() == [0]


def test_impedance_is_carried_forward_from_the_past_only(tmp_path):
    folder = write(
        tmp_path, charge(), discharge(), impedance(0.05), charge(), discharge(), charge(), discharge(), impedance(0.07),
        ambient=[4.0, 4.0, 24.0, 4.0, 4.0, 4.0, 4.0, 24.0],
    )  # fmt: skip
    rows = read(folder).checkups
    np.testing.assert_array_equal(rows["impedance_re_ohm"], [np.nan, 0.05, 0.05])
    np.testing.assert_array_equal(rows["impedance_temperature_degC"], [np.nan, 24.0, 24.0])
    assert read(folder).cells["ambient_temperature_degC"].tolist() == [4.0]  # of cycling, not of the impedance
    complex_one = write(tmp_path / "c", impedance(0.05 + 1j), charge(), discharge(), charge(), discharge())
    assert read(complex_one).checkups["impedance_re_ohm"].isna().all()


def test_charges_dates_and_temperatures_out_of_the_ordinary_are_said(tmp_path):
    folder = write(tmp_path, charge(1.0), charge(2.0), discharge(), charge(), discharge(), ambient=[24, 24, 24, 24, 43])
    tables = read(folder)
    assert [f.rule for f in tables.issues] == ["several_temperatures", "unrecorded_discharge"]
    assert "cycled at 24, 43 degC: the cell counts as 24 degC" in tables.issues[0].reason
    assert tables.checkups["throughput_Ah"].iloc[0] == pytest.approx(1.5)  # the first of the two charges
    kind, data = discharge()
    data["Voltage_measured"][5] = np.nan
    (finding,) = read(write(tmp_path / "lost", charge(), (kind, data))).issues
    assert (finding.rule, finding.value) == ("lost_samples", "1")


def test_nothing_of_the_own_discharge_but_its_beginning_is_a_feature(tmp_path):
    """Other capacities, voltages and temperatures in the later part of each discharge: no column of that row moves."""
    kind, data = discharge()
    late = np.arange(len(data["Time"])) > 100
    other = {**data, "Capacity": 5.0, "Voltage_measured": np.where(late, 2.5, data["Voltage_measured"])}
    other["Temperature_measured"] = np.where(late, 60.0, 30.0)
    before = read(write(tmp_path / "a", charge(), discharge(), charge(), discharge())).checkups
    after = read(write(tmp_path / "b", charge(), discharge(), charge(), (kind, other))).checkups
    roles = NasaPcoe().roles()
    visible = [c for c in before if roles.get(str(c)) != Role.LABEL_EQUIVALENT]
    pd.testing.assert_frame_equal(after[visible], before[visible])
    assert after["capacity_Ah"].iloc[1] != before["capacity_Ah"].iloc[1]
    hidden = {str(c) for c, role in roles.items() if role == Role.LABEL_EQUIVALENT and c in after}
    assert {"reintegrated_capacity_Ah", "ica_full_area_Ah", "dva_full_charge_Ah", "dva_peak_of_full"} <= hidden
    assert {roles[c] for c in ROLES if c not in hidden} == {Role.MEASUREMENT}


def test_files_that_are_not_nasa_records_are_refused(tmp_path):
    (tmp_path / "B0001.mat").write_bytes(b"")
    with pytest.raises(DataError, match=r"cell 'B0001', .*B0001.mat is .*not a whole MAT v5 file"):
        read(tmp_path, "B0001")
    (tmp_path / "B0001.mat").write_bytes(b"%PDF-1.4 something else altogether" * 20)
    with pytest.raises(DataError, match=r"B0001.mat is .*not a whole MAT v5 file"):
        read(tmp_path, "B0001")
    whole = write(tmp_path / "w", charge(), discharge()) / "B0099.mat"
    (tmp_path / "B0001.mat").write_bytes(whole.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"B0001.mat is .*not a whole MAT v5 file"):
        read(tmp_path, "B0001")
    (tmp_path / "B0001.mat").write_bytes(whole.read_bytes())
    with pytest.raises(DataError, match="expected a variable 'B0001', found B0099"):
        read(tmp_path, "B0001")
    scipy.io.savemat(tmp_path / "B0001.mat", {"B0001": {"cycle": np.arange(3)}})
    with pytest.raises(DataError, match=r"expected cycle\[\] with type, ambient_temperature, time and data"):
        read(tmp_path, "B0001")
    write(tmp_path, ("resting", series([0, 1], [3, 3], [0, 0])), name="B0001")
    with pytest.raises(DataError, match="type is 'resting', expected charge, discharge, impedance"):
        read(tmp_path, "B0001")


def test_where_the_files_are_is_said(tmp_path):
    source = NasaPcoe()
    for ask in (source.origin_key, lambda settings: source.fetch(tmp_path, settings)):
        with pytest.raises(DataError, match=r"the NASA Prognostics Center of Excellence .* a folder 'nasa_pcoe'"):
            ask(SETTINGS)
        with pytest.raises(DataError, match=r"no .mat file in .*nasa_pcoe'; expected one a cell, as B0025.mat"):
            ask(DataSettings(source="nasa_pcoe", reference_root=tmp_path))
    write(tmp_path / "nasa_pcoe", charge(), discharge())
    settings, raw = DataSettings(source="nasa_pcoe", reference_root=tmp_path), tmp_path / "raw"
    raw.mkdir()
    source.fetch(raw, settings)
    assert [cell.cell_id for cell in source.cell_files(raw, settings)] == ["B0099"]
    before = source.origin_key(settings)
    write(tmp_path / "nasa_pcoe", charge(), discharge(), charge(), discharge())
    assert source.origin_key(settings) != before
    (tmp_path / "nasa_pcoe" / "notes.mat").write_bytes(b"")
    with pytest.raises(DataError, match=r"'notes.mat' is not named B and four digits"):
        source.origin_key(settings)


NOT_CHARGED, CUT_SHORT = {0: "no_charge_before"}, {53: "cut_short", 19: "cut_short", 65: "cut_short"}
CELLS = {
    **{f"B{n:04d}": (24.0, 28, {}) for n in (25, 27, 28)},
    "B0026": (24.0, 28, {5: "not_full"}),
    **{f"B{n:04d}": (43.0, 40, NOT_CHARGED) for n in (29, 30, 31, 32)},
    "B0045": (4.0, 72, NOT_CHARGED | {19: "cut_short", 65: "cut_short"}),
    **{f"B{n:04d}": (4.0, 72, NOT_CHARGED | CUT_SHORT) for n in (46, 47, 48)},
}


@pytest.mark.reference
def test_every_recorded_capacity_is_found_again_in_its_curve(reference_root):
    for cell_id in CELLS:
        records = read_records(reference_root / "nasa_pcoe" / f"{cell_id}.mat", cell_id)
        for record in records:
            if record.kind == "discharge":
                recorded, again = record.values["capacity_Ah"], reintegrated_capacity(record)
                assert (recorded == 0 and np.isnan(again)) or again == pytest.approx(recorded, rel=1e-4)


@pytest.mark.reference
@pytest.mark.parametrize("cell_id", ["B0026", "B0031", "B0046"])
def test_a_real_cell(reference_root, cell_id):
    tables = read(reference_root / "nasa_pcoe", cell_id)
    ambient, discharges, quarantined = CELLS[cell_id]
    assert tables.cells["ambient_temperature_degC"].tolist() == [ambient]
    assert (tables.rows_read, len(tables.checkups)) == (discharges, discharges - len(quarantined))
    out = [f for f in tables.issues if f.action == "quarantined"]
    assert {f.row: f.rule for f in out} == quarantined
    assert tables.cells["protocol"].iloc[0].endswith({"B0026": "2.2 V", "B0031": "2.5 V", "B0046": "2.2 V"}[cell_id])
    checked = check_rows(tables.cells, tables.checkups, SETTINGS)
    assert len(checked.quarantined) == 0
    rows = tables.checkups
    assert rows["current_mean_A"].notna().mean() > 0.9
    assert rows["step_resistance_discharge_ohm"].between(0.05, 0.3).all()
    assert (rows["throughput_Ah"].diff().dropna() > 0).all()
    assert (rows["time_days"].diff().dropna() > 0).all()


def test_the_default_split_holds_43_degC_out():
    cells = pd.DataFrame({"cell_id": list(CELLS), "ambient_temperature_degC": [t for t, _, _ in CELLS.values()]})
    cells = cells.assign(source="nasa_pcoe", group="g", chemistry="c", nominal_capacity_Ah=2.0, protocol="p")
    made = make_split(cells, SplitSettings(), NasaPcoe())
    assert made.test == ("B0029", "B0030", "B0031", "B0032")
    by_hand = SplitSettings(strategy="temperature", test_temps_degC=(43,))
    assert make_split(cells, by_hand, None).test == made.test
    assert len(made.val) == 2
