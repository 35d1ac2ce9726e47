"""Files parsed as one text give what each gives for itself, however they are written; a bad one is named."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from battery_core.data.sources.charge_statistics import csv_files as charge_statistics_csv
from battery_core.data.sources.charge_statistics.csv_files import COLUMNS, read_csv_files
from battery_core.errors import DataError

HEADER = ",".join(COLUMNS)


def row(first: float) -> str:
    return ",".join(f"{first + 0.125 * i}" for i in range(len(COLUMNS)))


def text(*firsts: float, end: str = "\n") -> bytes:
    return end.join([HEADER, *map(row, firsts), ""]).encode()


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[list[list[float | None]], list[int]]]:
    """Rows and counts of files with these contents."""

    def reads(*contents: bytes) -> tuple[list[list[float | None]], list[int]]:
        paths = [tmp_path / f"{i}.csv" for i in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            path.write_bytes(content)
        table, counts = read_csv_files(paths, [f"cell '{path.stem}'" for path in paths])
        assert table.column_names == list(COLUMNS)
        return [list(record.values()) for record in table.to_pylist()], counts

    return reads


def by_hand(*contents: bytes) -> list[list[float | None]]:
    """The same with the standard library; blank lines are no rows, a blank field is no number."""
    rows: list[list[float | None]] = []
    for content in contents:
        lines = content.decode("utf-8-sig").splitlines()
        rows += [
            [float(v) if v not in ("", "NA") else None for v in map(r.get, COLUMNS)] for r in csv.DictReader(lines)
        ]
    return rows


TURNED = "\n".join(",".join(reversed(line.split(","))) for line in text(5, 6).decode().splitlines()).encode() + b"\n"


@pytest.mark.parametrize(
    "odd",
    [
        text(5, 6),
        text(5, 6, end="\r\n"),
        text(5, 6)[:-1],
        text(5, 6) + b"\n\n",
        text(5).replace(b"\n", b"\n\n"),
        b"\xef\xbb\xbf" + text(5),
        TURNED,
        HEADER.replace("CC Q", '"CC Q"').encode() + b"\n" + row(5).encode() + b"\n",
        text(5).replace(b"5.25", b""),
        text(5).replace(b"5.25", b'"5.25"'),
        text(5).replace(b"5.25", b"NA"),
        (HEADER + ",note\n" + row(5) + ",1\n").encode(),
    ],
    ids=["alike", "CRLF", "no last newline", "blank lines at the end", "blank lines between", "BOM", "other order",
         "quoted header", "blank field", "quoted number", "word for none", "one column more"],
)  # fmt: skip
@pytest.mark.parametrize("place", [0, 1, 2])
def test_files_give_the_same_together_as_one_by_one(read, odd: bytes, place: int) -> None:
    contents = [text(1, 2, 3), text(9)]
    contents.insert(place, odd)
    rows, counts = read(*contents)
    assert rows == by_hand(*contents)
    assert counts == [len(by_hand(content)) for content in contents]


def test_files_alike_are_parsed_once(read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charge_statistics_csv, "_read_csv", lambda *_: pytest.fail("one by one"))
    assert read(text(1, 2), text(3))[1] == [2, 1]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (text(5, 6).replace(b"6.25", b"n/a!"), r"cell '1': 1.csv, line 3: column \"voltage kurtosis\" is 'n/a!'"),
        (text(5) + b"1,2\n", r"cell '1': 1.csv is not a whole CSV file .*Expected 17 columns, got 2"),
        (text(5) + b"1", r"cell '1': 1.csv is not a whole CSV file .*Expected 17 columns, got 1"),
        (text(5) + text(6), r"cell '1': 1.csv, line 3: column \"voltage mean\" is 'voltage mean'"),
        (text(5).replace(b"CC Q", b"CCQ"), r"cell '1': no column \"CC Q\" in 1.csv; found .*CCQ"),
        (b"", r"cell '1': no column \"voltage mean\" in 1.csv; found an empty file"),
    ],
    ids=["text", "short row", "cut off in a first field", "two headers", "other column", "empty"],
)
def test_a_bad_file_among_good_ones_is_named(read, bad: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(text(1, 2), bad, text(9))
    assert "\n" not in str(caught.value)


def test_a_file_without_rows_has_none(read) -> None:
    assert read(text(1), text(), text(2))[1] == [1, 0, 1]
