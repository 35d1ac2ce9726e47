"""fetch -> normalize -> split on a small folder in the public layout: skipped, done again, refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from battery_core.__main__ import main
from battery_core.cli import guarded
from battery_core.data.versioning import content_version
from battery_core.errors import DataError, SplitError
from battery_core.files import read_json
from battery_core.settings import Settings
from battery_core.stages import Staged, data


@pytest.fixture
def settings(
    tmp_path: Path, write_xjtu: Callable[..., Path], xjtu_settings: Callable[..., Settings]
) -> Callable[..., Settings]:
    """Settings on a small reference folder of the test's own; changes are settings."""
    root = write_xjtu(tmp_path / "reference")
    return lambda **changes: xjtu_settings(tmp_path / "project", root, **changes)


def originals(settings: Settings) -> Path:
    assert settings.data.reference_root is not None
    return settings.data.reference_root / "pinn4soh" / "XJTU data"


def all_stages(settings: Settings) -> tuple[Staged, Staged, Staged]:
    raw = data.fetch(settings)
    tables = data.normalize(settings, raw)
    return raw, tables, data.split(settings, tables)


def change_one_number(file: Path) -> None:
    table = pd.read_csv(file)
    table.loc[3, "capacity"] += 0.001
    table.to_csv(file, index=False)


def test_the_first_time_everything_is_made(settings: Callable[..., Settings]) -> None:
    raw, tables, cells = all_stages(settings())
    assert [raw.skipped, tables.skipped, cells.skipped] == [False] * 3
    assert raw.message == "fetch: XJTU charge statistics (55 NCM cells, measured): 12 files"
    assert tables.message.endswith(
        "(55 NCM cells, measured): 12 cells, 144 check-ups; 12 cells read, 0 unchanged; the first version"
    )
    assert cells.message == "split: published: 6 train / 2 validation / 4 test cells, frozen"
    assert raw.version == content_version(raw.path)
    assert len(data.read_table(tables.path, "checkups")) == 144
    quality = read_json(tables.path / "quality.json")
    assert (quality["rows_read"], quality["rows_kept"], quality["simulated"]) == (144, 144, False)
    assert quality["roles"]["cc_charge_Ah"] == "measurement"
    assert read_json(tables.path / data.STAGE_FILE)["raw_version"] == raw.version


def test_the_second_time_everything_is_skipped_and_says_so(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = all_stages(settings())
    source = type(data.source_of(settings()))
    monkeypatch.setattr(source, "fetch", lambda *_: pytest.fail("fetched again"))
    monkeypatch.setattr(source, "read_cells", lambda *_: pytest.fail("read again"))
    second = all_stages(settings())
    assert [stage.skipped for stage in second] == [True] * 3
    assert [stage.version for stage in second] == [stage.version for stage in first]
    endings = ("origin unchanged, skipped", "raw data unchanged, skipped", "unchanged, skipped")
    assert [s.message.endswith(words) for s, words in zip(second, endings, strict=True)] == [True] * 3


def test_settings_that_play_no_part_in_a_stage_do_not_run_it_again(settings: Callable[..., Settings]) -> None:
    all_stages(settings())
    assert all(stage.skipped for stage in all_stages(settings(trainer__epochs=9, seed=5)))
    _, tables, _ = all_stages(settings(data__soh_max=1.5))
    assert not tables.skipped


def test_an_edited_raw_file_is_kept_said_and_normalized(settings: Callable[..., Settings]) -> None:
    raw, tables, cells = all_stages(settings())
    before = data.read_table(tables.path, "checkups")["capacity_Ah"]
    change_one_number(raw.path / "2C_battery-1.csv")
    raw_now, tables_now, cells_now = all_stages(settings())
    assert raw_now.skipped
    assert raw_now.version != raw.version
    assert raw_now.message.endswith("1 raw file(s) differ from what was fetched: 2C_battery-1.csv")
    assert not tables_now.skipped
    assert tables_now.version != tables.version
    change = (data.read_table(tables_now.path, "checkups")["capacity_Ah"] - before).abs()
    assert change.max() == pytest.approx(0.001)
    assert (change > 0).sum() == 1
    assert (cells_now.skipped, cells_now.version) == (True, cells.version)
    assert data.fetch(settings()).version == raw_now.version  # and it stays


def test_a_raw_file_that_was_added_or_taken_away_is_said(settings: Callable[..., Settings]) -> None:
    raw, *_ = all_stages(settings())
    (raw.path / "2C_battery-2.csv").rename(raw.path / "2C_battery-7.csv")
    now = data.fetch(settings())
    assert now.message.endswith("2 raw file(s) differ from what was fetched: 2C_battery-2.csv, 2C_battery-7.csv")
    assert not data.normalize(settings(), now).skipped


def test_a_changed_origin_is_fetched_again(settings: Callable[..., Settings]) -> None:
    raw, tables, _ = all_stages(settings())
    change_one_number(originals(settings()) / "3C_battery-3.csv")
    raw_now, tables_now, _ = all_stages(settings())
    assert not raw_now.skipped
    assert not tables_now.skipped
    assert {raw_now.version, tables_now.version}.isdisjoint({raw.version, tables.version})
    copied = (raw_now.path / "3C_battery-3.csv").read_bytes()
    assert copied == (originals(settings()) / "3C_battery-3.csv").read_bytes()


def test_edits_that_a_new_origin_replaces_are_said(settings: Callable[..., Settings]) -> None:
    raw, *_ = all_stages(settings())
    change_one_number(raw.path / "2C_battery-1.csv")
    change_one_number(originals(settings()) / "3C_battery-3.csv")
    now = data.fetch(settings())
    assert now.message.endswith("12 files; 1 raw file(s) edited here are replaced: 2C_battery-1.csv")
    assert data.fetch(settings()).message.endswith("origin unchanged, skipped")


def test_an_error_while_fetching_leaves_what_was_there(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = data.fetch(settings())
    change_one_number(originals(settings()) / "3C_battery-3.csv")

    def half(self: object, folder: Path, _: object) -> None:
        (folder / "2C_battery-1.csv").write_text("half")
        raise DataError("the network is gone")

    monkeypatch.setattr(type(data.source_of(settings())), "fetch", half)
    with pytest.raises(DataError, match="the network is gone"):
        data.fetch(settings())
    assert content_version(raw.path) == raw.version
    assert [folder.name for folder in raw.path.parent.iterdir()] == ["xjtu"]


@pytest.mark.parametrize("damage", ["cut", "missing", "edited"])
def test_a_damaged_table_is_made_again(settings: Callable[..., Settings], damage: str) -> None:
    raw, tables, _ = all_stages(settings())
    file = tables.path / "checkups.parquet"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "missing":
        file.unlink()
    else:
        pd.read_parquet(file).assign(capacity_Ah=1.0).to_parquet(file, index=False)
    again = data.normalize(settings(), raw)
    assert not again.skipped
    assert again.version == tables.version
    assert data.read_table(again.path, "checkups")["capacity_Ah"].nunique() > 100


def test_a_raw_folder_without_its_note_is_fetched_again(settings: Callable[..., Settings]) -> None:
    raw = data.fetch(settings())
    (raw.path / data.ORIGIN_FILE).write_text("half {")
    again = data.fetch(settings())
    assert not again.skipped
    assert again.version == raw.version


def test_quarantined_rows_are_counted_and_listed(settings: Callable[..., Settings]) -> None:
    file = originals(settings()) / "2C_battery-1.csv"
    table = pd.read_csv(file)
    table.loc[[2, 5], "capacity"] = [float("nan"), float("inf")]
    table.to_csv(file, index=False)
    _, tables, _ = all_stages(settings())
    assert "12 cells, 142 check-ups, 2 quarantined; 12 cells read" in tables.message
    assert pd.read_csv(tables.path / "findings.csv")["row"].tolist() == [2, 5]
    assert read_json(tables.path / "quality.json")["rows_quarantined"] == 2


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


def rewrite(settings: Settings, name: str, table: pd.DataFrame) -> None:
    table.to_csv(originals(settings) / f"{name}.csv", index=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.drop(columns="CC Q"), r"cell '2C_battery-1', source 'xjtu': no column \"CC Q\""),
        (
            lambda t: t.assign(**{"CV Q": ["n/a!" if i == 4 else q for i, q in enumerate(t["CV Q"])]}),
            r"2C_battery-1.csv, line 6: column \"CV Q\" is 'n/a!'",
        ),
        (lambda t: t.assign(capacity=float("nan")), r"column 'capacity' has no finite value in 12 rows"),
        (lambda t: t.assign(capacity=-1.0), r"cell '2C_battery-1': no check-up has a usable capacity_Ah"),
        (lambda t: t.iloc[:0], r"2C_battery-1.csv has a header but no rows"),
    ],
    ids=["missing column", "text", "no label", "negative label", "no rows"],
)
def test_a_bad_file_is_one_clear_error(settings: Callable[..., Settings], damage, message: str) -> None:
    table = pd.read_csv(originals(settings()) / "2C_battery-1.csv")
    rewrite(settings(), "2C_battery-1", damage(table))
    raw = data.fetch(settings())
    with pytest.raises(DataError, match=message) as caught:
        data.normalize(settings(), raw)
    assert "\n" not in str(caught.value)
    assert not (raw.path.parents[1] / "normalized" / "xjtu").exists()


def test_too_much_that_is_unusable_stops_the_night(settings: Callable[..., Settings]) -> None:
    for name in ("2C_battery-1", "2C_battery-2", "2C_battery-3", "2C_battery-5"):
        table = pd.read_csv(originals(settings()) / f"{name}.csv")
        rewrite(settings(), name, table.assign(**{"CC Q": table["CC Q"].where(table.index > 8)}))
    raw = data.fetch(settings())
    with pytest.raises(DataError, match=r"36 of 144 check-ups are quarantined, at most 20% are allowed"):
        data.normalize(settings(), raw)
    assert not data.normalize(settings(data__max_quarantine_share=0.3), raw).skipped


def test_missing_and_empty_folders(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder '.*nowhere.*XJTU data' - point data.reference_root"):
        data.fetch(settings(data__reference_root=tmp_path / "nowhere"))
    (tmp_path / "empty" / "XJTU data").mkdir(parents=True)
    with pytest.raises(DataError, match=r"source 'xjtu': no CSV file in"):
        data.fetch(settings(data__reference_root=tmp_path / "empty"))
    assert not (settings().folder("data") / "raw").exists()


def test_stages_out_of_order_say_which_comes_first(settings: Callable[..., Settings]) -> None:
    with pytest.raises(DataError, match=r"normalize: no raw data of 'xjtu' .* run the stage fetch first"):
        data.normalize(settings())
    with pytest.raises(DataError, match=r"table 'cells': no .* run the stage normalize first"):
        data.split(settings())


def test_a_single_cell_cannot_be_split(settings: Callable[..., Settings]) -> None:
    for file in list(originals(settings()).iterdir())[1:]:
        file.unlink()
    tables = data.normalize(settings(), data.fetch(settings()))
    with pytest.raises(SplitError, match=r"1 cell\(s\), at least 3 are needed, one each for train, val and test"):
        data.split(settings(), tables)
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
    tables = data.normalize(settings(), data.fetch(settings()))
    with pytest.raises(SplitError, match=message):
        data.split(settings(**changes), tables)


def test_without_published_test_cells_another_strategy_is_asked_for(settings: Callable[..., Settings]) -> None:
    for file in originals(settings()).iterdir():
        if "4" in file.stem or "8" in file.stem:
            file.unlink()
    tables = data.normalize(settings(), data.fetch(settings()))
    with pytest.raises(SplitError, match=r"no published test cells for source 'xjtu' - choose another strategy"):
        data.split(settings(), tables)


def test_a_broken_split_file_is_not_taken_for_a_split(settings: Callable[..., Settings]) -> None:
    *_, cells = all_stages(settings())
    cells.path.write_text(cells.path.read_text()[:200])
    with pytest.raises(SplitError, match=r"split.json cannot be read .* delete it and split again"):
        data.split(settings())


# one line, the right code: from the command line, in this process


@pytest.fixture
def by_hand(project: Path, tmp_path: Path, write_xjtu: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    """Runs ``python -m battery_core`` on small XJTU cells: exit code, standard output, standard error."""
    root = write_xjtu(tmp_path / "reference", rows=3)

    def run(stage: str, *argv: str) -> tuple[object, str, str]:
        options = ("--data.source", "xjtu", "--data.reference_root", str(root), *argv)
        with pytest.raises(SystemExit) as caught:
            guarded(lambda: main([stage, *options]))
        return caught.value.code, *capsys.readouterr()

    return run


def test_by_hand_the_stages_follow_each_other(by_hand, project: Path) -> None:
    for stage, words in (("fetch", "12 files"), ("normalize", "the first version"), ("split", "frozen")):
        code, out, err = by_hand(stage)
        assert (code, err) == (0, "")
        assert out.startswith(f"{stage}: ")
        assert out.endswith(f"{words}\n")
        assert by_hand(stage)[1].endswith("skipped\n")
    assert (project / "splits" / "xjtu.json").is_file()


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (("fetch", "--data.source", "xjtuu"), 2, "unknown source 'xjtuu': did you mean 'xjtu'?"),
        (("fetch", "--data.reference_root", "/nowhere"), 1, "source 'xjtu': no folder '/nowhere/pinn4soh/XJTU data'"),
        (("normalize",), 1, "normalize: no raw data of 'xjtu' in"),
        (("split",), 1, "table 'cells': no "),
        (("fetch", "--paths.data", "/proc/nowhere"), 1, "'/proc/nowhere' - check that the folder exists and is writ"),
        (("fetch", "--paths.data", "params.yaml"), 1, "Not a directory: '"),
        (("train",), 1, "normalize: no raw data of 'xjtu'"),
    ],
)
def test_by_hand_what_goes_wrong_is_one_line(by_hand, argv: tuple[str, ...], code: int, message: str) -> None:
    got, out, err = by_hand(*argv)
    assert (got, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("stage", "option"), [("split", "--paths.splits"), ("train", "--paths.artifacts")])
@pytest.mark.parametrize("place", ["/proc/nowhere", "params.yaml"])
def test_a_folder_that_cannot_be_written_is_one_line(by_hand, stage: str, option: str, place: str) -> None:
    for before in ("fetch", "normalize", "split"):
        by_hand(before)
    code, _, err = by_hand(stage, option, place)
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert "check that the folder exists and is writable" in err


def test_without_a_trained_model_there_is_nothing_to_evaluate(by_hand) -> None:
    for before in ("fetch", "normalize", "split"):
        by_hand(before)
    code, _, err = by_hand("evaluate")
    assert (code, err) == (1, "error: evaluate: no training job left a result - see the failed jobs above\n")


def test_copies_of_the_project_have_equal_versions(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """Where the files lie plays no part in any version."""
    first = all_stages(settings())
    shutil.copytree(tmp_path / "project", tmp_path / "moved")
    moved = {f"paths__{name}": tmp_path / "moved" / name for name in ("data", "splits", "artifacts")}
    second = all_stages(settings(**moved))
    assert [stage.version for stage in second] == [stage.version for stage in first]
    assert all(stage.skipped for stage in second)
