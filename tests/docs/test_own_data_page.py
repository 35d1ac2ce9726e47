"""The page docs/your-own-data.md, done by the letter in an empty project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from battery_core.settings import resolve
from battery_core.stages.common import read_table
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "your-own-data.md").read_text(encoding="utf-8")


def block(marker: str) -> str:
    """The fenced block after a marker."""
    found = re.search(rf"<!-- {re.escape(marker)} -->\n```\w*\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, marker
    return found[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The project folder after steps 1 to 3 of the page."""
    folder = tmp_path_factory.mktemp("own")
    (python,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    here = Path.cwd()
    os.chdir(folder)
    try:
        exec(compile(python, "docs/your-own-data.md", "exec"), {"__name__": "page"})
    finally:
        os.chdir(here)
    for name in ("lab/cells.csv", "params.yaml"):
        (folder / name).write_text(block(f"file: {name}"), encoding="utf-8")
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of the page, as a person in that folder would give it."""
    words = command.split()
    assert words[0] == "python"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BATTERY_")}
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=folder, env=clean, capture_output=True, text=True, timeout=300
    )


def test_inspect_shows_what_the_page_says(lab):
    done = run(block("command: inspect"), lab)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 cells can be read" in done.stdout
    assert block("output: inspect").rstrip() in done.stdout
    assert "Time [min], read as" in done.stdout
    assert (lab / "artifacts" / "inspect" / "lab.png").stat().st_size > 20_000


def test_the_data_stages_understand_the_cells_of_the_page(lab, monkeypatch):
    monkeypatch.setenv("BATTERY_ROOT", str(lab))
    monkeypatch.chdir(lab)
    for name in [name for name in os.environ if name.startswith("BATTERY__")]:
        monkeypatch.delenv(name)
    settings = resolve({})
    assert settings.data.source == "cycler_folder"
    raw = fetch(settings)
    tables = normalize(settings, raw)
    cell_split = split(settings, tables)
    assert "1 train / 1 validation / 1 test" in cell_split.message
    rows = read_table(tables.path, "checkups")
    for cell, fade in (("A1", 0.004), ("A2", 0.006), ("A3", 0.008)):
        capacity = rows[rows["cell_id"] == cell]["capacity_Ah"].to_numpy()
        assert len(capacity) == 20
        np.testing.assert_allclose(capacity / capacity[0], 1 - fade * np.arange(20), atol=0.006)
    assert rows["cc_charge_Ah"].notna().all()


def test_every_setting_of_the_page_exists():
    from battery_core.settings import all_fields

    known = {name for name, _ in all_fields()} | {"data.cycler.units", "data.cycler.columns"}
    for name in re.findall(r"data\.cycler\.[a-z_A-Z]+(?:\.[a-zA-Z_]+)?", PAGE):
        assert name in known, name
