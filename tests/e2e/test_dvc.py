"""``dvc repro`` in a fresh clone: the same stages by hand, nothing twice, and one edited number is noticed."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from battery_core.files import read_json

pytestmark = pytest.mark.e2e


def ran(output: str) -> list[str]:
    """Names of the stages that were executed."""
    return re.findall(r"Running stage '(\w+)'", output)


def raw_version(house: Any) -> str:
    (raw,) = yaml.safe_load((house.root / "dvc.lock").read_text())["stages"]["fetch"]["outs"]
    return str(raw["md5"])


def test_repro_does_what_is_needed_and_no_more(house: Any) -> None:
    first = house.run("dvc", "repro")
    assert first.returncode == 0, first.stdout
    # the frozen split is under version control: its stage runs only if tables or code differ from the recorded ones
    assert ran(first.stdout)[:2] == ["fetch", "normalize"]
    assert (house.root / "splits" / "simulated.json").is_file()
    second = house.run("dvc", "repro")
    assert second.returncode == 0, second.stdout
    assert ran(second.stdout) == []
    assert "up to date" in second.stdout


def test_the_flow_works_on_the_version_that_dvc_records(house: Any) -> None:
    done = house.run("python", "flows/train.py", "--models", "lgbm")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("skipped [") == 3
    (report,) = (house.root / "artifacts" / "reports").glob("*/report.json")
    assert read_json(report)["data_version"] == raw_version(house)
    assert ran(house.run("dvc", "repro").stdout) == []


def test_one_edited_number_runs_the_stages_behind_it(house: Any) -> None:
    before = raw_version(house)
    raw = house.root / "data" / "raw" / "simulated"
    file = next(file for file in sorted(raw.rglob("*Processed*.csv")) if file.stat().st_size > 200)
    lines = file.read_text().splitlines(keepends=True)
    lines[-1] = re.sub(r"(\d)(?=\D*$)", lambda digit: str((int(digit[1]) + 1) % 10), lines[-1])
    edited = "".join(lines)
    file.write_text(edited)
    third = house.run("dvc", "repro")
    assert third.returncode == 0, third.stdout
    assert ran(third.stdout)[-2:] == ["normalize", "split"]
    assert "1 raw file(s) differ from what was fetched" in third.stdout
    assert file.name in third.stdout
    assert file.read_text() == edited  # a corrected reading is never overwritten
    assert raw_version(house) != before
