"""Files are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from battery_core.files import read_json, whole_folder, write_json, write_text


def half_way(target: Path) -> None:
    with whole_folder(target) as part:
        (part / "a.txt").write_text("half")
        raise KeyboardInterrupt


def test_a_folder_takes_the_place_of_the_old_one_as_a_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "tables"
    for content in ("old", "new"):
        with whole_folder(target) as part:
            (part / f"{content}.txt").write_text(content)
    assert [file.name for file in target.iterdir()] == ["new.txt"]  # nothing of the old one is mixed in
    assert [file.name for file in target.parent.iterdir()] == ["tables"]
    assert target.stat().st_mode & 0o777 == 0o755


def test_an_error_half_way_leaves_the_old_folder(tmp_path: Path) -> None:
    target = tmp_path / "tables"
    with whole_folder(target) as part:
        (part / "a.txt").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        half_way(target)
    assert (target / "a.txt").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["tables"]


def test_an_error_half_way_leaves_no_new_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        half_way(tmp_path / "tables")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_not_there_before_it_is_whole(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "tables") as part:
        (part / "a.txt").write_text("half")
        assert not (tmp_path / "tables").exists()
    assert (tmp_path / "tables" / "a.txt").is_file()


def test_an_error_half_way_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "report.json"
    write_json(file, {"a": 1})

    def disk_full(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text.encode(encoding)[:3])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_json(file, {"a": 2})
    assert read_json(file) == {"a": 1}
    assert [f.name for f in tmp_path.iterdir()] == ["report.json"]


def test_what_cannot_be_written_as_json_leaves_the_old_file(tmp_path: Path) -> None:
    file, loop = tmp_path / "report.json", {}
    write_json(file, {"a": 1})
    loop["self"] = loop
    with pytest.raises((ValueError, RecursionError)):
        write_json(file, loop)
    assert read_json(file) == {"a": 1}


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    numbers = [float("nan"), float("inf"), -np.inf, np.float64("nan"), np.float32("nan"), np.float32("inf")]
    write_json(tmp_path / "a.json", {"list": numbers, "tuple": (1.5, np.nan), "deep": [{"x": np.nan}]})

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads((tmp_path / "a.json").read_text(), parse_constant=refuse)
    assert content == {"list": [None] * 6, "tuple": [1.5, None], "deep": [{"x": None}]}


def test_numpy_and_paths_are_written_as_plain_values(tmp_path: Path) -> None:
    content = {"n": np.int64(3), "x": np.float32(0.5), "yes": np.bool_(True), "a": np.array([1.0, np.nan])}
    write_json(tmp_path / "a.json", content | {"path": Path("/a/b"), "name": "Zürich"})
    found = read_json(tmp_path / "a.json")
    assert found == {"n": 3, "x": 0.5, "yes": True, "a": [1.0, None], "path": "/a/b", "name": "Zürich"}


@pytest.mark.parametrize("damage", [b"", b'{"a": 1', b"\x00\x00\x00", b"\xff\xfe{}", b"NaN?"])
def test_a_damaged_file_reads_as_none(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "a.json").write_bytes(damage)
    assert read_json(tmp_path / "a.json") is None
    assert read_json(tmp_path / "missing.json") is None


def test_text_is_written_below_folders_that_are_not_there_yet(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "°C\n")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "°C\n"
