"""The charge statistics reader on small files of its own, then on the reference data, counted a second way."""

import csv
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from battery_core.data.quality.checks import check_quality, summary
from battery_core.data.registries import SOURCES
from battery_core.data.settings import DataSettings
from battery_core.data.sources.charge_statistics.reader import COLUMNS
from battery_core.data.sources.download import public_archive
from battery_core.data.tables import schema
from battery_core.data.tables.roles import Role
from battery_core.errors import DataError

SETS = {"xjtu": ("XJTU data", 55, 13), "tju": ("TJU data", 130, 25), "hust": ("HUST data", 77, 20)}


def write_cell(path: Path, rows: int = 4, **changes: list[object]) -> None:
    """A file as the public sets have it; ``changes`` replace columns (underscore for blank)."""
    data = {name: [round(1 + 0.01 * j + 0.1 * i, 3) for i in range(rows)] for j, name in enumerate(COLUMNS)}
    data["capacity"] = [1.95 - 0.01 * i for i in range(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({**data, **{k.replace("_", " "): v for k, v in changes.items()}}).to_csv(path, index=False)


@pytest.fixture
def xjtu_root(tmp_path: Path) -> Path:
    for name in ("2C_battery-1", "2C_battery-4", "R2.5_battery-1"):
        write_cell(tmp_path / "root/pinn4soh/XJTU data" / f"{name}.csv")
    return tmp_path / "root"


def read(root: Path, tmp_path: Path, name: str = "xjtu"):
    raw = tmp_path / "raw"
    raw.mkdir()
    source = SOURCES.get(name)
    settings = DataSettings(source=name, reference_root=root)
    source.fetch(raw, settings)
    return source.read(raw, settings)


def test_rows_and_names_come_out_as_canonical_tables(xjtu_root, tmp_path):
    tables = read(xjtu_root, tmp_path)
    schema.check_cells(tables.cells)
    schema.check_checkups(tables.checkups, SOURCES["xjtu"].columns)
    assert tables.cells.set_index("cell_id")["group"].to_dict() == {
        "2C_battery-1": "2C", "2C_battery-4": "2C", "R2.5_battery-1": "R2.5",
    }  # fmt: skip
    one = tables.checkups[tables.checkups["cell_id"] == "2C_battery-1"]
    assert one["checkup_index"].tolist() == [0, 1, 2, 3]
    assert one["cycle_count"].tolist() == [1, 2, 3, 4]
    assert one["capacity_Ah"].tolist() == pytest.approx([1.95, 1.94, 1.93, 1.92])
    assert one["cc_charge_Ah"].iloc[1] == pytest.approx(1.14)
    assert tables.rows_read == 12
    assert not tables.issues


def test_non_finite_rows_are_quarantined_with_cell_row_column_and_reason(xjtu_root, tmp_path):
    bad = {"voltage_entropy": [1.0, "-inf", 1.0, 1.0], "CC_Q": [0.3, "nan", "", 0.3]}
    write_cell(xjtu_root / "pinn4soh/XJTU data/2C_battery-4.csv", **bad)
    tables = read(xjtu_root, tmp_path)
    found = [(f.cell_id, f.row, f.column, f.value, f.action) for f in tables.issues]
    assert found == [
        ("2C_battery-4", 1, "cc_charge_Ah", "nan", "quarantined"),
        ("2C_battery-4", 1, "voltage_entropy", "-inf", "quarantined"),
        ("2C_battery-4", 2, "cc_charge_Ah", "nan", "quarantined"),
    ]
    assert (tables.rows_read, len(tables.checkups)) == (12, 10)
    kept = tables.checkups.query("cell_id == '2C_battery-4'")
    assert kept["cycle_count"].tolist() == [1, 4]  # the row keeps its own number


def test_a_cell_with_no_good_row_leaves_the_cells_table_and_is_named(xjtu_root, tmp_path):
    write_cell(xjtu_root / "pinn4soh/XJTU data/2C_battery-4.csv", voltage_std=["inf"] * 4)
    tables = read(xjtu_root, tmp_path)
    assert "2C_battery-4" not in set(tables.cells["cell_id"])
    assert tables.issues[-1].rule == "no_checkup"
    assert len(tables.quarantined) == tables.rows_read - len(tables.checkups) == 4


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p.write_text(p.read_text().replace("CC Q", "CCQ")), r'no column "CC Q" in 2C_battery-4.csv; .*CCQ'),
        (lambda p: p.write_text(p.read_text().replace("1.94", "low")), r"line 3: column \"capacity\" is 'low'"),
        (lambda p: p.write_text(p.read_text() + "1,2,3\n"), "is not a whole CSV file .*Expected 17 columns, got 3"),
        (lambda p: p.write_text(""), "no column .*an empty file"),
        (lambda p: p.write_bytes(b"\x89PNG\r\n\x00\x01"), "no column "),
        (lambda p: p.write_text(p.read_text().split("\n")[0] + "\n"), "has a header but no rows"),
        (lambda p: write_cell(p, capacity=["nan"] * 4), "column 'capacity' has no finite value in 4 rows"),
        (lambda p: p.rename(p.with_name("notes.csv")), "file name 'notes.csv' does not follow the pattern"),
    ],
)  # fmt: skip
def test_a_damaged_file_gives_one_clear_error(xjtu_root, tmp_path, damage, message):
    damage(xjtu_root / "pinn4soh/XJTU data/2C_battery-4.csv")
    with pytest.raises(DataError, match=message):
        read(xjtu_root, tmp_path)


def test_missing_and_empty_folders_are_named(xjtu_root, tmp_path):
    with pytest.raises(DataError, match=r"no folder '.*nowhere/pinn4soh/XJTU data' - point data.reference_root"):
        read(tmp_path / "nowhere", tmp_path)
    (xjtu_root / "pinn4soh/HUST data").mkdir()
    with pytest.raises(DataError, match="source 'hust': no CSV file in"):
        SOURCES.get("hust").origin_key(DataSettings(source="hust", reference_root=xjtu_root))
    with pytest.raises(DataError, match="source 'xjtu': no CSV file in"):
        SOURCES.get("xjtu").read(tmp_path / "raw", DataSettings(source="xjtu"))


def test_the_origin_key_follows_one_changed_byte_whatever_the_date(xjtu_root):
    source, settings = SOURCES.get("xjtu"), DataSettings(source="xjtu", reference_root=xjtu_root)
    before = source.origin_key(settings)
    path = xjtu_root / "pinn4soh/XJTU data/2C_battery-1.csv"
    old = path.with_suffix(".old")
    shutil.copy2(path, old)
    path.write_text(path.read_text().replace("1.95", "1.96"))
    shutil.copystat(old, path)
    old.unlink()
    assert source.origin_key(settings) != before


def test_mit_names_groups_and_label_equivalent_charge(tmp_path):
    for batch, number in (("2017-05-12", 1), ("2017-05-12", 10), ("2018-04-12", 5)):
        write_cell(tmp_path / f"root/pinn4soh/MIT data/{batch}/{batch}_battery-{number}.csv")
    tables = read(tmp_path / "root", tmp_path, "mit")
    source = SOURCES.get("mit")
    assert tables.cells["group"].tolist() == ["2017-05-12", "2017-05-12", "2018-04-12"]
    assert source.published_test_cells(tables.cells) == ("2017-05-12_battery-10", "2018-04-12_battery-5")
    assert source.roles()["cc_charge_Ah"] == Role.LABEL_EQUIVALENT
    assert SOURCES.get("hust").roles()["cc_charge_Ah"] == Role.MEASUREMENT


def test_tju_facts_come_from_folder_and_file_names():
    cell = SOURCES["tju"]().cell_of("Dataset_3_NCM_NCA_battery/CY25-05_4-#1.csv")
    assert cell["cell_id"] == "NCM+NCA_CY25-05_4-#1"
    assert (cell["chemistry"], cell["nominal_capacity_Ah"], cell["ambient_temperature_degC"]) == ("NCM+NCA", 2.5, 25.0)
    assert cell["protocol"] == "0.5C charge, 4C discharge"
    with pytest.raises(DataError, match="unknown chemistry 'LFP'"):
        SOURCES["tju"]().cell_of("Dataset_4_LFP_battery/CY25-05_4-#1.csv")


def test_a_download_without_network_names_the_setting(monkeypatch, tmp_path):
    def no_network(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr("pooch.retrieve", no_network)
    monkeypatch.setattr(public_archive.time, "sleep", lambda seconds: None)
    with pytest.raises(DataError, match=r"cannot be downloaded \(ConnectionError\).*data\.reference_root"):
        SOURCES.get("xjtu").fetch(tmp_path, DataSettings(source="xjtu"))


def test_downloaded_files_are_verified_byte_for_byte(reference_root, tmp_path):
    packed = tmp_path / "PINN4SOH-abc"
    shutil.copytree(reference_root / "pinn4soh/XJTU data", packed / "data/XJTU data")
    archive = Path(shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path, packed.name))
    public_archive.download("XJTU data", tmp_path / "good", "xjtu", archive)
    assert len(public_archive.csv_files(tmp_path / "good")) == 55
    changed = packed / "data/XJTU data/2C_battery-1.csv"
    changed.chmod(0o644)
    changed.write_text(changed.read_text().replace("1.91", "1.92", 1))
    archive = Path(shutil.make_archive(str(tmp_path / "changed"), "zip", tmp_path, packed.name))
    with pytest.raises(DataError, match=r"not the published 55 files byte for byte"):
        public_archive.download("XJTU data", tmp_path / "bad", "xjtu", archive)


@pytest.mark.reference
@pytest.mark.parametrize("name", SETS)
def test_reference_sets_equal_a_plain_reading(name, reference_root, tmp_path):
    folder, n_cells, n_test = SETS[name]
    tables = read(reference_root, tmp_path, name)
    rows, bad, capacity = 0, 0, 0.0
    files = sorted((reference_root / "pinn4soh" / folder).rglob("*.csv"))
    for path in files:
        with path.open(newline="") as stream:
            for record in csv.DictReader(stream):
                numbers = [float(v) if v else math.nan for v in record.values()]
                rows += 1
                if all(map(math.isfinite, numbers)):
                    capacity += float(record["capacity"])
                else:
                    bad += 1
    assert (len(tables.cells), tables.rows_read, len(tables.checkups)) == (n_cells, rows, rows - bad)
    assert tables.checkups["capacity_Ah"].sum() == pytest.approx(capacity, rel=1e-12)
    assert len(SOURCES.get(name).published_test_cells(tables.cells)) == n_test
    clean, issues = check_quality(tables.cells, tables.checkups, DataSettings(source=name))
    schema.check_cells(tables.cells)
    schema.check_checkups(clean, SOURCES[name].columns)
    assert summary(tables.rows_read, len(clean), bad, issues)["rows_kept"] == rows - bad


@pytest.mark.reference
def test_tju_conditions_are_those_of_the_readme(reference_root, tmp_path):
    cells = read(reference_root, tmp_path, "tju").cells
    assert cells["chemistry"].value_counts().to_dict() == {"NCA": 66, "NCM": 55, "NCM+NCA": 9}
    assert sorted(cells["ambient_temperature_degC"].unique()) == [25.0, 35.0, 45.0]
