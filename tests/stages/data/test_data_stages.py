"""fetch -> normalize -> split on a small folder in the public layout: skipped, done again, refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from battery_core.data.versioning.content import content_version
from battery_core.errors import DataError
from battery_core.files import read_json
from battery_core.settings import Settings
from battery_core.stages.common import ORIGIN_FILE, STAGE_FILE, read_table, source_of
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split
from tests.stages.small import all_stages, originals


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
    assert len(read_table(tables.path, "checkups")) == 144
    quality = read_json(tables.path / "quality.json")
    assert (quality["rows_read"], quality["rows_kept"], quality["simulated"]) == (144, 144, False)
    assert quality["roles"]["cc_charge_Ah"] == "measurement"
    assert read_json(tables.path / STAGE_FILE)["raw_version"] == raw.version


def test_the_second_time_everything_is_skipped_and_says_so(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = all_stages(settings())
    source = type(source_of(settings()))
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
    before = read_table(tables.path, "checkups")["capacity_Ah"]
    change_one_number(raw.path / "2C_battery-1.csv")
    raw_now, tables_now, cells_now = all_stages(settings())
    assert raw_now.skipped
    assert raw_now.version != raw.version
    assert raw_now.message.endswith("1 raw file(s) differ from what was fetched: 2C_battery-1.csv")
    assert not tables_now.skipped
    assert tables_now.version != tables.version
    change = (read_table(tables_now.path, "checkups")["capacity_Ah"] - before).abs()
    assert change.max() == pytest.approx(0.001)
    assert (change > 0).sum() == 1
    assert (cells_now.skipped, cells_now.version) == (True, cells.version)
    assert fetch(settings()).version == raw_now.version  # and it stays


def test_a_raw_file_that_was_added_or_taken_away_is_said(settings: Callable[..., Settings]) -> None:
    raw, *_ = all_stages(settings())
    (raw.path / "2C_battery-2.csv").rename(raw.path / "2C_battery-7.csv")
    now = fetch(settings())
    assert now.message.endswith("2 raw file(s) differ from what was fetched: 2C_battery-2.csv, 2C_battery-7.csv")
    assert not normalize(settings(), now).skipped


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
    now = fetch(settings())
    assert now.message.endswith("12 files; 1 raw file(s) edited here are replaced: 2C_battery-1.csv")
    assert fetch(settings()).message.endswith("origin unchanged, skipped")


def test_an_error_while_fetching_leaves_what_was_there(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = fetch(settings())
    change_one_number(originals(settings()) / "3C_battery-3.csv")

    def half(self: object, folder: Path, _: object) -> None:
        (folder / "2C_battery-1.csv").write_text("half")
        raise DataError("the network is gone")

    monkeypatch.setattr(type(source_of(settings())), "fetch", half)
    with pytest.raises(DataError, match="the network is gone"):
        fetch(settings())
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
    again = normalize(settings(), raw)
    assert not again.skipped
    assert again.version == tables.version
    assert read_table(again.path, "checkups")["capacity_Ah"].nunique() > 100


def test_a_raw_folder_without_its_note_is_fetched_again(settings: Callable[..., Settings]) -> None:
    raw = fetch(settings())
    (raw.path / ORIGIN_FILE).write_text("half {")
    again = fetch(settings())
    assert not again.skipped
    assert again.version == raw.version


def test_quarantined_rows_are_counted_and_listed(settings: Callable[..., Settings]) -> None:
    file = originals(settings()) / "2C_battery-1.csv"
    table = pd.read_csv(file)
    table.loc[[2, 5], "capacity"] = [float("nan"), float("inf")]
    table.to_csv(file, index=False)
    _, tables, _ = all_stages(settings())
    assert "12 cells, 142 check-ups, 2 quarantined; 12 cells read" in tables.message
    assert pd.read_csv(tables.path / "issues.csv")["row"].tolist() == [2, 5]
    assert read_json(tables.path / "quality.json")["rows_quarantined"] == 2


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
    raw = fetch(settings())
    with pytest.raises(DataError, match=message) as caught:
        normalize(settings(), raw)
    assert "\n" not in str(caught.value)
    assert not (raw.path.parents[1] / "normalized" / "xjtu").exists()


def test_too_much_that_is_unusable_stops_the_night(settings: Callable[..., Settings]) -> None:
    for name in ("2C_battery-1", "2C_battery-2", "2C_battery-3", "2C_battery-5"):
        table = pd.read_csv(originals(settings()) / f"{name}.csv")
        rewrite(settings(), name, table.assign(**{"CC Q": table["CC Q"].where(table.index > 8)}))
    raw = fetch(settings())
    with pytest.raises(DataError, match=r"36 of 144 check-ups are quarantined, at most 20% are allowed"):
        normalize(settings(), raw)
    assert not normalize(settings(data__max_quarantine_share=0.3), raw).skipped


def test_missing_and_empty_folders(settings: Callable[..., Settings], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no folder '.*nowhere.*XJTU data' - point data.reference_root"):
        fetch(settings(data__reference_root=tmp_path / "nowhere"))
    (tmp_path / "empty" / "XJTU data").mkdir(parents=True)
    with pytest.raises(DataError, match=r"source 'xjtu': no CSV file in"):
        fetch(settings(data__reference_root=tmp_path / "empty"))
    assert not (settings().folder("data") / "raw").exists()


def test_stages_out_of_order_say_which_comes_first(settings: Callable[..., Settings]) -> None:
    with pytest.raises(DataError, match=r"normalize: no raw data of 'xjtu' .* run the stage fetch first"):
        normalize(settings())
    with pytest.raises(DataError, match=r"table 'cells': no .* run the stage normalize first"):
        split(settings())


def test_copies_of_the_project_have_equal_versions(settings: Callable[..., Settings], tmp_path: Path) -> None:
    """Where the files lie plays no part in any version."""
    first = all_stages(settings())
    shutil.copytree(tmp_path / "project", tmp_path / "moved")
    moved = {f"paths__{name}": tmp_path / "moved" / name for name in ("data", "splits", "artifacts")}
    second = all_stages(settings(**moved))
    assert [stage.version for stage in second] == [stage.version for stage in first]
    assert all(stage.skipped for stage in second)
