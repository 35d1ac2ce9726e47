"""The stage split on a small folder in the public layout: cells keep their part, what cannot be divided is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from battery_core.errors import SplitError
from battery_core.settings import Settings
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split
from tests.stages.small import all_stages, originals


def test_a_known_cell_keeps_its_part_when_cells_arrive(
    settings: Callable[..., Settings], write_xjtu: Callable[..., Path]
) -> None:
    *_, cells = all_stages(settings())
    before = json.loads(cells.path.read_text())
    write_xjtu(originals(settings()).parents[1], ("2C_battery-6", "3C_battery-7", "3C_battery-14"))
    *_, cells_now = all_stages(settings())
    after = json.loads(cells_now.path.read_text())
    assert not cells_now.skipped
    assert (after["val"], after["test"]) == (before["val"], before["test"])
    assert set(before["train"]) < set(after["train"])
    new = {*after["train"], *after["unused"]} - set(before["train"])
    assert new == {"2C_battery-6", "3C_battery-7", "3C_battery-14"}
    assert "3C_battery-14" not in after["train"]  # a test cell by the published rule: never trained on


def test_another_split_setting_divides_anew_beside_the_frozen_one(settings: Callable[..., Settings]) -> None:
    *_, cells = all_stages(settings())
    frozen = cells.path.read_text()
    *_, other = all_stages(settings(split__strategy="by_group", split__test_groups="3C"))
    assert other.version != cells.version
    assert {c[:2] for c in json.loads(other.path.read_text())["test"]} == {"3C"}
    assert "has other settings and stays: delete it to replace it" in other.message
    assert cells.path.read_text() == frozen
    *_, again = all_stages(settings(split__strategy="by_group", split__test_groups="3C"))
    assert (again.path, again.version, again.skipped) == (other.path, other.version, True)
    *_, back = all_stages(settings())
    assert (back.path, back.version, back.skipped) == (cells.path, cells.version, True)


def test_a_single_cell_cannot_be_split(settings: Callable[..., Settings]) -> None:
    for file in list(originals(settings()).iterdir())[1:]:
        file.unlink()
    tables = normalize(settings(), fetch(settings()))
    with pytest.raises(SplitError, match=r"1 cell\(s\), at least 3 are needed, one each for train, val and test"):
        split(settings(), tables)
    assert not settings().folder("splits").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split__strategy": "fixed", "split__test_cells": "9C_battery-1"}, r"9C_battery-1.*there are: .*2C_battery-1"),
        ({"split__strategy": "by_group", "split__test_groups": "4C"}, r"4C.*there are: 2C, 3C"),
        ({"split__strategy": "temperature", "split__test_temps_degC": "25"}, r"25.*there are: none stated"),
        ({"split__strategy": "leave_one_cell_out", "split__fold": 12}, r"split.fold is 12, but there are 12 cells"),
        ({"split__strategy": "grouped_kfold", "split__n_folds": 13}, r"split.n_folds at most the number of cells"),
    ],
)
def test_a_split_without_test_cells_says_what_there_is(
    settings: Callable[..., Settings], changes: dict[str, object], message: str
) -> None:
    tables = normalize(settings(), fetch(settings()))
    with pytest.raises(SplitError, match=message):
        split(settings(**changes), tables)


def test_without_published_test_cells_another_strategy_is_asked_for(settings: Callable[..., Settings]) -> None:
    for file in originals(settings()).iterdir():
        if "4" in file.stem or "8" in file.stem:
            file.unlink()
    tables = normalize(settings(), fetch(settings()))
    with pytest.raises(SplitError, match=r"no published test cells for source 'xjtu' - choose another strategy"):
        split(settings(), tables)


def test_a_broken_split_file_is_not_taken_for_a_split(settings: Callable[..., Settings]) -> None:
    *_, cells = all_stages(settings())
    cells.path.write_text(cells.path.read_text()[:200])
    with pytest.raises(SplitError, match=r"split.json cannot be read .* delete it and split again"):
        split(settings())
