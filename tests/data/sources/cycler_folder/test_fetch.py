"""The folder of cycler exports and its table of cells: what is copied, what makes it new, what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from battery_core.data.settings import DataSettings
from battery_core.data.sources.cycler_folder import source as cycler_folder
from battery_core.data.sources.cycler_folder.source import CyclerFolder
from battery_core.errors import DataChangingError, DataError

HEADERS = {"time_s": "t [s]", "voltage_V": "U [V]", "current_A": "I [A]", "temperature_degC": "T [degC]"}


def write_table(file: Path, record: pd.DataFrame, shift: float = 0.0) -> Path:
    """A plain table of a record, its time moved by so many seconds."""
    file.parent.mkdir(parents=True, exist_ok=True)
    table = record.assign(time_s=record["time_s"] + shift)[list(HEADERS)].rename(columns=HEADERS)
    table.to_csv(file, index=False)
    return file


def of(folder: Path) -> DataSettings:
    return DataSettings(source="cycler_folder", cycler={"columns": HEADERS, "folder": folder})


@pytest.fixture(scope="module")
def cell(synthetic_cell):
    return synthetic_cell.cycled(5)


CELLS = "id,chemistry,nominal capacity [mAh],temperature [°C],protocol,lower cutoff [V],upper cutoff [V]\n"


@pytest.fixture
def lab(cell, tmp_path):
    """Two cells in sub-folders, and settings for them."""
    folder = tmp_path / "lab 25 °C"
    for name, shift in (("A1", 0.0), ("B 2", 500.0)):
        write_table(folder / name / "run 1.csv", cell.record, shift=shift)
    (folder / "cells.csv").write_text(CELLS + "A1,NMC,2000,25,1C,2.8,4.2\nB 2,NMC,2000,,,2.8,4.2\n", encoding="utf-8")
    (folder / "README.md").write_text("notes")
    return folder, of(folder=folder)


def fetched(lab_settings, place: Path) -> Path:
    """As the stage does: into a new folder that then takes the standing one's place."""
    part = place / ".part"
    part.mkdir(parents=True)
    CyclerFolder().fetch(part, lab_settings)
    raw = place / "cycler_folder"
    if raw.exists():
        raw.rename(place / ".old")
    part.rename(raw)
    return raw


def test_fetch_copies_what_changed_and_links_what_stands(lab, cell, tmp_path):
    folder, how = lab
    raw = fetched(how, tmp_path / "raw")
    names = [file.relative_to(raw).as_posix() for file in sorted(raw.rglob("*.*")) if file.is_file()]
    assert names == ["A1/cell.json", "A1/files/A1/run 1.csv", "B 2/cell.json", "B 2/files/B 2/run 1.csv"]
    inodes = {name: (raw / name).stat().st_ino for name in names}
    assert inodes["A1/files/A1/run 1.csv"] != (folder / "A1" / "run 1.csv").stat().st_ino  # a copy, safe from edits

    write_table(folder / "A1" / "run 1.csv", cell.record, shift=7.0)
    again = fetched(how, tmp_path / "raw")
    assert (again / names[1]).stat().st_ino != inodes[names[1]]
    assert (again / names[3]).stat().st_ino == inodes[names[3]]
    assert (again / names[1]).read_bytes() == (folder / "A1" / "run 1.csv").read_bytes()


def test_the_origin_is_new_when_a_file_is_new_changed_or_gone_and_only_then(lab, cell):
    folder, how = lab
    source = CyclerFolder()
    first = source.origin_key(how)
    assert source.origin_key(how) == first
    (folder / "notes.md").write_text("not data")
    assert source.origin_key(how) == first
    extra = write_table(folder / "A1" / "run 2.csv", cell.record)
    assert source.origin_key(how) != first
    extra.unlink()
    assert source.origin_key(how) == first
    os.utime(folder / "A1" / "run 1.csv", (1, 1))
    assert source.origin_key(how) != first


def test_a_cell_depends_on_its_own_files_only(lab, tmp_path):
    _, how = lab
    raw = fetched(how, tmp_path / "raw")
    cells = CyclerFolder().cell_files(raw, how)
    assert [cell.cell_id for cell in cells] == ["A1", "B 2"]
    assert all(file.parts[0] == cell.cell_id for cell in cells for file in cell.files)
    tables = CyclerFolder().read(raw, how)
    assert tables.cells["cell_id"].tolist() == ["A1", "B 2"]
    assert tables.cells["nominal_capacity_Ah"].tolist() == [2.0, 2.0]
    assert tables.cells["ambient_temperature_degC"].isna().tolist() == [False, True]


def test_files_of_a_cell_are_read_in_the_order_people_count(lab, cell, tmp_path):
    folder, how = lab
    (folder / "A1" / "run 1.csv").unlink()
    for number, part in ((2, cell.record[:777]), (10, cell.record[777:])):  # run_2 before run_10
        write_table(folder / "A1" / f"run_{number}.csv", part)
    tables = CyclerFolder().read(fetched(how, tmp_path / "raw"), how)
    np.testing.assert_allclose(tables.checkups["capacity_Ah"][:5], cell.capacities_Ah, rtol=1e-3)


def test_a_pattern_a_cell_and_a_table_in_yaml(lab, cell, tmp_path):
    folder, how = lab
    (folder / "cells.csv").unlink()
    for name in ("A1", "B 2"):
        (folder / name / "run 1.csv").rename(folder / f"{name}_1.csv")
    metadata = "nominal capacity [Ah]: 2\n    lower cutoff [V]: 2.8\n    upper cutoff [V]: 4.2\n    files: '{}_*.csv'\n"
    text = "".join(f"- id: {name}\n    {metadata.format(name)}" for name in ("A1", "B 2")).replace("\n    ", "\n  ")
    (folder / "cells.yaml").write_text(text)
    assert len(CyclerFolder().read(fetched(how, tmp_path / "raw"), how).checkups) == 10


WRONG_CELLS = {
    "no table": (None, "no cells.csv or cells.yaml - write one with a row a cell: id, chemistry, nominal capacity"),
    "no row": (CELLS, r"no cells; expected a row each"),
    "unknown column": ("id,nominal kapacity [Ah]\nA1,2\n", "unknown column .*: did you mean 'nominal cap"),
    "no unit": ("id,nominal capacity\nA1,2\n", r"expected its unit - write 'nominal capacity \[Ah\]'"),
    "wrong unit": ("id,nominal capacity [V]\nA1,2\n", "unit 'V' measures voltage"),
    "a word": ("id,nominal capacity [Ah]\nA1,two\n", "expected a number, got 'two'"),
    "no capacity": ("id,nominal capacity [Ah]\nA1,\n", r"cell number 1: no nominal capacity \[Ah\]"),
    "zero": ("id,nominal capacity [Ah]\nA1,0\n", "nominal capacity 0 Ah; expected more than 0"),
    "twice": ("id,nominal capacity [Ah]\nA1,2\nA1,2\n", "cell 'A1' is there twice"),
    "bad id": ("id,nominal capacity [Ah]\n../x,2\n", r"id '\.\./x' cannot name a folder"),
    "no files": ("id,nominal capacity [Ah]\nA1,2\nC3,2\n", "cell 'C3': no file of it in .* expected a sub-folder 'C3'"),
    "a stray": ("id,nominal capacity [Ah]\nA1,2\n", r"'B 2/run 1.csv': of no cell in cells.csv \(1 such"),
    "two owners": ("id,nominal capacity [Ah],files\nA1,2,\nX,2,*/*.csv\n", "of cell 'A1' and 'X' - give it one"),
    "short row": ("id,nominal capacity [Ah],protocol\nA1,2\n", "cell number 1: not as many fields as the header"),
}  # fmt: skip


@pytest.mark.parametrize("fault", WRONG_CELLS)
def test_a_table_of_cells_that_is_wrong_is_refused(fault, lab):
    folder, how = lab
    content, message = WRONG_CELLS[fault]
    (folder / "cells.csv").unlink()
    if content is not None:
        (folder / "cells.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        CyclerFolder().origin_key(how)


def test_no_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"which folder\? - set data\.cycler\.folder"):
        CyclerFolder().origin_key(DataSettings(source="cycler_folder"))
    with pytest.raises(DataError, match=r"no folder '.*none' - correct data\.cycler\.folder"):
        CyclerFolder().origin_key(of(folder=tmp_path / "none"))


def test_a_file_that_grows_while_it_is_copied_is_tried_again_and_then_said(lab, tmp_path, monkeypatch):
    folder, how = lab
    copy = cycler_folder.shutil.copy2
    growing = 2

    def copy_and_grow(file, target):
        nonlocal growing
        done = copy(file, target)
        if growing:
            growing -= 1
            with Path(file).open("a") as stream:
                stream.write(" ")
        return done

    monkeypatch.setattr(cycler_folder.shutil, "copy2", copy_and_grow)
    raw = fetched(how, tmp_path / "raw")
    assert (raw / "A1/files/A1/run 1.csv").stat().st_size == (folder / "A1/run 1.csv").stat().st_size
    growing = 99
    with pytest.raises(DataChangingError, match=r"run 1.csv': it changes while it is copied - run again"):
        fetched(how, tmp_path / "raw 2")
