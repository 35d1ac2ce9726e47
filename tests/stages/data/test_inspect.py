"""``python -m battery_core inspect``: what a folder was understood to be, in words, before anything is trained."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from battery_core.__main__ import main
from battery_core.errors import DataError, SettingsError
from battery_core.settings import resolve
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.inspect import inspect
from battery_core.stages.data.normalize import normalize

BDF = {
    "time_s": "Test Time / s",
    "voltage_V": "Voltage / V",
    "current_A": "Current / A",
    "temperature_degC": "Surface Temperature T1 / degC",
    "cycle": "Cycle Count / 1",
}
NOVONIX = (
    "[Summary]\nNovonix UHPC data file\n[End Summary]\n[Data]\nDate and Time,Cycle Number,Step Type,Run Time (h),"
    "Current (A),Potential (V),Temperature (°C)\n"
)
PLAIN = {"time_s": "t [h]", "voltage_V": "U [mV]", "current_A": "I [mA]"}


def write_lab(folder: Path, synthetic_cell) -> Path:
    """One cell in Battery Data Format (two files), one of a vendor, one in plain tables with the sign the other way."""
    for cell in ("bdf", "vendor", "plain"):
        (folder / cell).mkdir(parents=True, exist_ok=True)
    table = synthetic_cell.cycled(6, fade=0.01).record.rename(columns=BDF)
    table[table["Cycle Count / 1"] <= 3].to_csv(folder / "bdf" / "1.csv", index=False)
    table[table["Cycle Count / 1"] > 3].to_csv(folder / "bdf" / "2.csv", index=False)
    rows = synthetic_cell.cycled(6, fade=0.02).record
    moment = pd.Timestamp("2026-01-01") + pd.to_timedelta(rows["time_s"].round(), unit="s")
    text = "".join(
        f"{when},{r.cycle},1,{r.time_s / 3600:.7f},{r.current_A:.6f},{r.voltage_V:.6f},{r.temperature_degC:.3f}\n"
        for when, r in zip(moment, rows.itertuples(), strict=True)
    )
    (folder / "vendor" / "a 25 °C.csv").write_text(NOVONIX + text, encoding="utf-8")
    rows = synthetic_cell.cycled(6, fade=0.03).record
    plain = {"t [h]": rows["time_s"] / 3600, "U [mV]": rows["voltage_V"] * 1e3, "I [mA]": -rows["current_A"] * 1e3}
    pd.DataFrame(plain).to_csv(folder / "plain" / "a.csv", index=False, sep=";", decimal=",")
    facts = "".join(f"{cell},made up,2,25,1C,2.8,4.2\n" for cell in ("bdf", "vendor", "plain"))
    header = "id,chemistry,nominal capacity [Ah],temperature [degC],protocol,lower cutoff [V],upper cutoff [V]\n"
    (folder / "cells.csv").write_text(header + facts)
    return folder


@pytest.fixture
def lab(synthetic_cell, project):
    return write_lab(project / "lab", synthetic_cell)


OPTIONS = [part for name, header in PLAIN.items() for part in (f"--data.cycler.columns.{name}", header)]


def test_three_formats_are_one_kind_of_cell(lab, project):
    settings = resolve({"data.cycler.folder": lab, "data.cycler.columns": PLAIN})
    found = inspect(settings)
    assert found.is_ready
    assert found.refused == {}
    assert [(v.cell, v.formats, v.files, v.cycles, v.checkups) for v in found.cells] == [
        ("bdf", "BDF", 2, 6, 6),
        ("plain", "plain table", 1, 6, 6),
        ("vendor", "novonix-csv (batterydf)", 1, 6, 6),
    ]
    for view, fade in zip(found.cells, (0.01, 0.03, 0.02), strict=True):
        assert view.soh[-1] / view.soh[0] == pytest.approx(1 - 5 * fade, abs=0.003)
    assert found.cells[1].sign == "charge negative (as the voltage tells)"
    assert found.figure == project / "artifacts" / "inspect" / "lab.png"


def test_a_new_file_is_read_alone_and_taken_away_again_leaves_the_version_there_was(lab, project, synthetic_cell):
    settings = resolve({"data.source": "cycler_folder", "data.cycler.folder": lab, "data.cycler.columns": PLAIN})
    first = normalize(settings, fetch(settings))
    assert "3 cells read, 0 unchanged" in first.message

    later = synthetic_cell.cycled(8, fade=0.01).record.rename(columns=BDF)
    new = lab / "bdf" / "3.csv"
    later[later["Cycle Count / 1"] > 6].to_csv(new, index=False)
    grown = normalize(settings, fetch(settings))
    assert grown.version != first.version
    assert "1 cells read, 2 unchanged" in grown.message
    assert grown.message.endswith("1 cell grown by 2 check-ups (bdf)")  # and no earlier row of it is another

    new.unlink()
    again = normalize(settings, fetch(settings))
    assert again.version == first.version
    assert "0 cells read, 3 unchanged" in again.message


def test_a_person_sees_cells_columns_problems_and_what_to_do_next(lab, capsys):
    assert main(["inspect", str(lab), *OPTIONS]) == 0
    said = capsys.readouterr().out
    assert "3 of 3 cells can be read" in said
    for word in (
        "Cells",
        "bdf",
        "2.80-4.20",
        "novonix-csv",
        "t [h], read as h",
        "check  plain: plain",
    ):
        assert word in said
    assert re.search(r"bdf +│ BDF +│ +2 │ .* 0\.962 to 0\.91\d", said)
    plot = re.search(r"Plot: (.*)", said)
    assert plot is not None
    assert Path(plot[1]).read_bytes()[:4] == b"\x89PNG"
    assert f"Next: python flows/train.py --data.source cycler_folder --data.cycler.folder {lab}" in said


def test_a_cell_that_is_refused_does_not_hide_the_others(lab, capsys):
    assert main(["inspect", str(lab)]) == 1  # no column map
    said = capsys.readouterr().out
    assert "2 of 3 cells can be read" in said
    assert "refused  cell 'plain', source 'cycler_folder', file 'a.csv'" in said
    assert "found t [h], U [mV], I [mA] - name the columns" in said
    assert "Next: repair the files above" in said


def test_a_cell_without_check_ups_is_said(lab, capsys):
    assert main(["inspect", str(lab), *OPTIONS, "--data.cycler.checkup_rule", "low_rate"]) == 1
    said = capsys.readouterr().out
    assert (
        "left out  bdf: no check-up: the slowest of 6 full discharges runs at 1 C: raise data.cycler.low_rate" in said
    )


def test_a_wrong_folder_or_option_is_one_line(project):
    with pytest.raises(DataError, match=r"no folder 'nowhere' - correct data\.cycler\.folder"):
        main(["inspect", "nowhere"])
    with pytest.raises(DataError, match=r"which folder\? - set data.cycler.folder"):
        main(["inspect"])
    with pytest.raises(
        SettingsError, match=r"setting 'data\.cycler\.checkup_rule': .*'every_full_cycle' or 'low_rate'"
    ):
        main(["inspect", "nowhere", "--data.cycler.checkup_rule", "each"])
