"""The shipped snapshot: simulated, whole, plausible, and as docs/simulated-data.md says it is."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from battery_core.data.registries import SOURCES
from battery_core.data.settings import DataSettings
from battery_core.data.sources.base import SourceTables
from battery_core.data.sources.simulated import source as simulated
from battery_core.data.tables.roles import Role
from battery_core.data.tables.schema import check_cells, check_checkups, check_curves
from battery_core.errors import DataError

DOC = Path(__file__).parents[4] / "docs" / "simulated-data.md"
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> SourceTables:
    source, raw = SOURCES.get("simulated"), tmp_path_factory.mktemp("simulated")
    source.fetch(raw, DataSettings())
    return source.read(raw, DataSettings())


def test_it_says_simulated_wherever_it_is_named(tables: SourceTables) -> None:
    source = SOURCES.get("simulated")
    assert source.simulated
    assert "simulated" in source.label
    assert set(tables.cells["source"]) == {"simulated"}
    assert tables.cells["chemistry"].str.contains("simulated").all()


def test_it_is_whole(tables: SourceTables) -> None:
    assert len(tables.cells) == 36
    assert set(tables.checkups.groupby("cell_id").size()) == {16}
    assert tables.cells.groupby("ambient_temperature_degC").size().to_dict() == {10.0: 12, 25.0: 12, 40.0: 12}
    assert set(tables.cells["group"]) == {"expt2-2", "expt4", "expt5"}
    assert tables.rows_read == len(tables.checkups) == 576
    assert simulated.SNAPSHOT.stat().st_size < 3 * MEGABYTE


def test_it_passes_the_schema_at_the_door(tables: SourceTables) -> None:
    check_cells(tables.cells)
    check_checkups(tables.checkups, simulated.SimulatedSource.columns)
    assert tables.curves is not None
    check_curves(tables.curves)


def test_time_and_throughput_only_grow(tables: SourceTables) -> None:
    for _, cell in tables.checkups.groupby("cell_id"):
        for column in ("checkup_index", "cycle_count", "time_days", "throughput_Ah", "energy_throughput_Wh"):
            assert cell[column].diff().iloc[1:].gt(0).all()


def test_first_capacity_is_that_of_the_real_cells(tables: SourceTables) -> None:
    first = tables.checkups.query("checkup_index == 0")
    assert first["capacity_Ah"].between(4.80, 4.92).all()
    assert first["temperature_degC"].isna().all()  # nothing has aged yet


def test_each_checkup_has_a_curve_that_ends_at_its_capacity(tables: SourceTables) -> None:
    assert tables.curves is not None
    ends = tables.curves.groupby(["cell_id", "checkup_index"])["capacity_Ah"].agg(["last", "size"]).reset_index()
    both = tables.checkups.merge(ends, on=["cell_id", "checkup_index"], validate="one_to_one")
    assert len(both) == len(tables.checkups)
    assert both["last"].to_numpy() == pytest.approx(both["capacity_Ah"].to_numpy(), rel=0.003)
    assert both["size"].between(60, 150).all()
    assert (tables.curves["current_A"] < 0).all()


def test_bad_resistances_are_missing_and_said(tables: SourceTables) -> None:
    missing = tables.checkups[tables.checkups["resistance_ohm"].isna()]
    said = [(f.cell_id, f.row) for f in tables.issues if f.rule == "bad_resistance"]
    assert said == list(zip(missing["cell_id"], missing["checkup_index"], strict=True))
    assert 1 <= len(said) <= 12
    assert tables.checkups["resistance_ohm"].dropna().between(0.02, 0.15).all()


def test_what_is_nearly_the_label_is_declared_so() -> None:
    roles = SOURCES.get("simulated").roles()
    assert roles["temperature_degC"] is Role.USAGE
    assert roles["resistance_ohm"] is Role.MEASUREMENT
    assert {roles[c] for c in ("capacity_c2_Ah", "cell_capacity_Ah", "lli", "lam_ne_tot", "published_soh")} == {
        Role.LABEL_EQUIVALENT
    }


def test_the_documented_retention_is_that_of_the_snapshot(tables: SourceTables) -> None:
    capacity = tables.checkups.pivot(index="cell_id", columns="checkup_index", values="capacity_Ah")
    cells = tables.cells.set_index("cell_id").assign(retention=capacity[8] / capacity[0])
    measured = cells.groupby(["group", "ambient_temperature_degC"])["retention"].agg(["mean", "min", "max"]).round(3)
    pattern = re.compile(r"^\| Expt ([\d,]+) \| (\d+) \| ([\d.]+) \| ([\d.]+)-([\d.]+) \|", re.MULTILINE)
    rows = pattern.findall(DOC.read_text(encoding="utf-8"))
    written = {(f"expt{e.replace(',', '-')}", float(t)): (float(m), float(a), float(b)) for e, t, m, a, b in rows}
    assert written == {key: tuple(row) for key, row in zip(measured.index, measured.to_numpy(), strict=True)}


def test_full_window_cycling_ages_most_in_the_cold(tables: SourceTables) -> None:
    capacity = tables.checkups.pivot(index="cell_id", columns="checkup_index", values="capacity_Ah")
    cells = tables.cells.set_index("cell_id").assign(left=capacity[8] / capacity[0])
    mean: pd.Series[float] = cells[cells["group"] == "expt5"].groupby("ambient_temperature_degC")["left"].mean()
    assert mean[10.0] < mean[40.0] < mean[25.0] + 0.005


def test_the_origin_is_the_content_of_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, before = SOURCES.get("simulated"), SOURCES.get("simulated").origin_key(DataSettings())
    assert re.fullmatch("sha256:[0-9a-f]{64}", before)
    (tmp_path / "other.zip").write_bytes(b"other")
    monkeypatch.setattr(simulated, "SNAPSHOT", tmp_path / "other.zip")
    assert source.origin_key(DataSettings()) != before
    monkeypatch.setattr(simulated, "SNAPSHOT", tmp_path / "none.zip")
    with pytest.raises(DataError, match=r"expected the shipped snapshot 'none\.zip'"):
        source.fetch(tmp_path, DataSettings())
