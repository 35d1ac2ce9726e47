"""Text files read as one: the bytes and the digests are those of each file for itself."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from battery_core.data.sources import raw_text
from battery_core.data.sources.raw_text import read_as_one


def written(folder: Path, *contents: bytes) -> list[str]:
    paths = [folder / f"{i}.csv" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return [str(path) for path in paths]


def test_one_header_then_all_lines_and_the_digest_of_each_file(tmp_path: Path) -> None:
    contents = [b"a,b\n1,2\n3,4\n", b"a,b\n5,6\n", b"a,b\n7,8\n9,10\n11,12\n"]
    whole = read_as_one(written(tmp_path, *contents))
    assert whole is not None
    assert whole.text is not None
    assert bytes(whole.text) == b"a,b\n1,2\n3,4\n5,6\n7,8\n9,10\n11,12\n"
    assert whole.lines == [2, 1, 3]
    assert whole.sha256 == [hashlib.sha256(content).hexdigest() for content in contents]
    assert read_as_one(written(tmp_path, *contents), digests=False).sha256 == []


@pytest.mark.parametrize(
    "odd", [b"b,a\n1,2\n", b"a,b\n1,2", b"a,b;\n1,2\n"], ids=["header", "last line", "longer header"]
)
@pytest.mark.parametrize("place", [0, 1])
def test_files_that_are_not_alike_have_digests_and_no_text(tmp_path: Path, odd: bytes, place: int) -> None:
    contents = [b"a,b\n1,2\n"]
    contents.insert(place, odd)
    whole = read_as_one(written(tmp_path, *contents))
    assert whole is not None
    assert whole.text is None
    assert whole.sha256 == [hashlib.sha256(content).hexdigest() for content in contents]


@pytest.mark.parametrize("short", [b"", b"a,b\n", b"a"])
def test_a_file_shorter_than_the_header_of_the_first_is_for_itself(tmp_path: Path, short: bytes) -> None:
    assert read_as_one(written(tmp_path, b"a,b\n1,2\n", short)) is None


def test_a_file_that_is_cut_off_while_it_is_read_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = written(tmp_path, b"a,b\n1,2\n", b"a,b\n1,2\n3,4\n")
    plain = raw_text._read

    def cuts(path: str, n_first: int, rest: object) -> bytes:
        os.truncate(second, 8)
        return plain(path, n_first, rest)

    monkeypatch.setattr(raw_text, "_read", cuts)
    with pytest.raises(FileNotFoundError, match="cut off while it was read"):
        read_as_one([first, second])
