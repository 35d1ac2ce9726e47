"""Two nights with other data between them, then back: the tables are those of the first night, byte for byte."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from battery_core.artifacts import ReleaseResult, StageResult
from battery_core.data.versioning.content import content_version
from battery_core.data.versioning.store import VersionStore
from battery_core.errors import DataError
from battery_core.files import write_json
from battery_core.jobs import RESULT_FILE, finished
from battery_core.settings import Settings
from battery_core.stages.data import snapshot as keeping
from battery_core.stages.data.data_changes import DataChanges, find_data_changes
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.restore import restore
from battery_core.stages.data.split import split
from battery_core.stages.evaluation.evaluate import evaluate
from battery_core.stages.evaluation.select import select
from battery_core.stages.release.compare import compare
from battery_core.stages.release.promote import promote
from battery_core.stages.training.ensemble import ensemble
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import train


@dataclasses.dataclass(frozen=True)
class Night:
    """What a night worked on and found."""

    raw: StageResult
    tables: StageResult
    split: StageResult
    news: DataChanges
    results: list[dict[str, Any]]
    outcome: ReleaseResult


def one_night(settings: Settings, name: str) -> Night:
    raw = fetch(settings)
    tables = normalize(settings, raw)
    cell_split = split(settings, tables)
    specs = job_specs(settings, tables, cell_split)
    found = find_data_changes(settings, raw, tables, specs)
    assert keeping.snapshot(settings, raw, tables, cell_split).problem == ""
    for spec in (spec for spec in specs if finished(spec) is None):
        write_json(spec.folder / RESULT_FILE, train(spec) | {"key": spec.key, "run_id": spec.run_id})
    results = [(finished(spec) or {}) | {"reused": False} for spec in specs]
    folder = settings.folder("artifacts") / "reports" / name
    candidates = ensemble(settings, tables, cell_split, results, folder)
    selection = select(evaluate(settings, tables, cell_split, candidates))
    comparison = compare(settings, tables, cell_split, selection)
    return Night(raw, tables, cell_split, found, results, promote(settings, tables, cell_split, comparison, name))


@dataclasses.dataclass(frozen=True)
class House:
    """A project with two nights behind it: one cell grew and one came in between."""

    settings: Settings
    reference: Path
    first: Night
    second: Night


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory,
    write_xjtu: Callable[..., Path],
    xjtu_settings: Callable[..., Settings],
    new_store: Callable[[Path], str],
) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("versions")
    reference = write_xjtu(folder / "reference")
    settings = xjtu_settings(
        folder / "project", reference, models=("lgbm",), release__allow_dirty=True, release__required_baselines=(),
        tracking__mlflow_uri=new_store(folder / "registry"), data__remote=str(folder / "second"),
    )  # fmt: skip
    (folder / "second").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATTERY_ROOT", str(folder / "project"))
        first = one_night(settings, "night-1")
        cells = reference / "pinn4soh" / "XJTU data"
        grown = pd.read_csv(cells / "2C_battery-1.csv")
        pd.concat([grown, grown.tail(2)]).to_csv(cells / "2C_battery-1.csv", index=False)
        shutil.copy(cells / "3C_battery-2.csv", cells / "3C_battery-9.csv")
        yield House(settings, reference, first, one_night(settings, "night-2"))


def folders(settings: Settings) -> tuple[Path, Path, Path]:
    data_folder = settings.folder("data")
    return data_folder / "raw/xjtu", data_folder / "normalized/xjtu", settings.folder("splits") / "xjtu.json"


def test_the_second_night_knows_what_is_new(house: House) -> None:
    assert house.first.news.message.startswith("the first model of this source")
    found = house.second.news
    assert found.no_new_data is False
    assert found.since == "models:/soh-xjtu/1"
    assert found.changes is not None
    assert found.changes["new_cells"] == ["3C_battery-9"]
    assert found.changes["grown_cells"] == {"2C_battery-1": 2}
    assert "1 cell new (3C_battery-9), 1 grown by 2 check-ups (2C_battery-1)" in found.message


def test_back_to_the_first_version_and_on_again(house: House) -> None:
    settings, first, second = house.settings, house.first, house.second
    assert content_version(folders(settings)[0]) == second.raw.version != first.raw.version
    lines = restore(settings, "1")
    assert first.raw.version in lines[0]
    tables = normalize(settings)
    cell_split = split(settings)
    assert tables.skipped  # not made anew: they are the very files
    assert (tables.version, cell_split.version) == (first.tables.version, first.split.version)
    (spec,) = job_specs(settings, tables, cell_split)
    standing = finished(spec)
    assert standing is not None  # training again says "stands already"
    assert standing["val_mean_cell_mape"] == first.results[0]["val_mean_cell_mape"]
    again = train(spec)  # and if it is trained after all, the same comes out
    assert again["val_mean_cell_mape"] == first.results[0]["val_mean_cell_mape"]
    assert "stands already" in "".join(restore(settings, "soh-xjtu/1"))
    restore(settings, "challenger")
    assert content_version(folders(settings)[0]) == second.raw.version
    assert split(settings).version == second.split.version


def test_the_command_names_the_settings_that_differ(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TRAINER__EPOCHS", "4"), ("DATA__SOURCE", "xjtu"), ("LGBM__N_ESTIMATORS", "21")):
        monkeypatch.setenv(f"BATTERY__{name}", value)
    command = restore(house.settings, "2")[-1].strip()
    assert command.startswith("python -m battery_core train --data.source xjtu ")
    assert "--lgbm.n_estimators 20" in command
    assert "--models lgbm" in command
    assert "--trainer.epochs" not in command  # the same now
    assert "--paths" not in command


def test_an_edit_that_is_kept_nowhere_is_not_lost(house: House) -> None:
    settings = house.settings
    raw = folders(settings)[0]
    restore(settings, "2")
    file = next(raw.rglob("3C_battery-2.csv"))
    as_it_was = file.read_bytes()
    file.write_bytes(as_it_was.replace(b"1", b"2", 1))
    with pytest.raises(
        DataError, match=r"3C_battery-2.csv would be lost - keep them first with: python -m battery_core"
    ):
        restore(settings, "1")
    assert file.read_bytes() != as_it_was
    tables = normalize(settings, corrected := StageResult(raw, content_version(raw), True, ""))
    keeping.snapshot(settings, corrected, tables, split(settings, tables))
    restore(settings, "1")  # now it can be had again
    VersionStore(settings.folder("data").parent).restore(corrected.version, raw)
    assert file.read_bytes() == as_it_was.replace(b"1", b"2", 1)
    restore(settings, "2")


def test_elsewhere_the_project_stays_as_it_is(house: House, tmp_path: Path) -> None:
    settings = house.settings
    restore(settings, "2")
    lines = restore(settings, "1", tmp_path / "then")
    assert content_version(tmp_path / "then/raw/xjtu") == house.first.raw.version
    assert content_version(folders(settings)[0]) == house.second.raw.version
    assert f"--paths.data {tmp_path / 'then'} --paths.splits {tmp_path / 'then' / 'splits'}" in lines[-1]
    assert (tmp_path / "then/splits/xjtu.json").read_bytes() != folders(settings)[2].read_bytes()


def test_from_the_remote_when_the_store_is_gone(house: House) -> None:
    settings = house.settings
    root = settings.folder("data").parent
    shutil.move(root / ".dvc" / "cache", root / "away")
    try:
        restore(settings, "2")
        with pytest.raises(DataError, match=r"not whole in the version store and no data.remote is set"):
            restore(settings.model_copy(update={"data": settings.data.model_copy(update={"remote": ""})}), "1")
    finally:
        shutil.rmtree(root / ".dvc" / "cache", ignore_errors=True)
        shutil.move(root / "away", root / ".dvc" / "cache")


@pytest.mark.parametrize(
    ("which", "said"),
    [("7", "no version 7; there are: 1, 2"), ("best", "no version has the alias 'best'"), ("other/1", "no version 1")],
)
def test_a_version_that_is_not_there_is_said(house: House, which: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        restore(house.settings, which)


def test_a_remote_that_fails_costs_nothing_and_the_next_run_sends_it(house: House, tmp_path: Path) -> None:
    settings = house.settings
    away = settings.model_copy(update={"data": settings.data.model_copy(update={"remote": str(tmp_path / "nas")})})
    night = house.second
    kept = keeping.snapshot(away, night.raw, night.tables, night.split)
    assert "is its disk mounted" in kept.problem
    waiting = len(keeping.unsent(away))
    assert f"{waiting} data version(s) wait here and go with the next run" in kept.problem
    assert keeping.unsent(settings) == []
    (tmp_path / "nas").mkdir()
    kept = keeping.snapshot(away, night.raw, night.tables, night.split)
    assert kept.problem == ""
    assert f"{waiting} sent to" in kept.message
    assert keeping.unsent(away) == []
    assert keeping.snapshot(away, night.raw, night.tables, night.split).message.endswith("and at the remote")


def test_nothing_new_only_when_data_settings_and_code_are_the_same(
    house: House,
) -> None:
    settings, night = house.settings, house.second
    specs = job_specs(settings, night.tables, night.split)
    assert find_data_changes(settings, night.raw, night.tables, specs).no_new_data
    other_rule = settings.model_copy(update={"release": settings.release.model_copy(update={"min_improvement": 0.5})})
    assert not find_data_changes(other_rule, night.raw, night.tables, specs).no_new_data
    other_code = [dataclasses.replace(spec, code="another") for spec in specs]
    assert not find_data_changes(settings, night.raw, night.tables, other_code).no_new_data
    other_data = dataclasses.replace(night.raw, version="another")
    assert not find_data_changes(settings, other_data, night.tables, specs).no_new_data
    first = find_data_changes(settings, other_data, night.tables, specs)  # since the champion
    assert "since soh-xjtu version 1" in first.message
