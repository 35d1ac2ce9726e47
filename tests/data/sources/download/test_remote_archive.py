"""Members of a zip archive over HTTP: only what is needed, whole or not there, whatever the server does."""

from __future__ import annotations

import logging
import random
import socket
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from battery_core.data.sources.download import remote_archive
from battery_core.data.sources.download.remote_archive import fetch_members
from battery_core.data.sources.download.remote_ranges import Patience, RemoteFile
from battery_core.errors import DataError

FILLER = 400_000
TAIL = 1 << 16  # first request: where the directory of an archive is expected
NAMES = [f"Expt 9/Curves {x}/cell {x} - {k}.csv" for x in "ABC" for k in range(3)]


def member(name: str) -> bytes:
    """Some kilobytes that do not pack well."""
    return random.Random(name).randbytes(9_000)


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A zip64 archive: three folders of three wanted files, each folder behind a large record nobody needs."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("Expt 9/", b"")
        for i, name in enumerate(NAMES):
            if i % 3 == 0:
                packed.writestr(f"Expt 9/Records/{i}.bin", random.Random(i).randbytes(FILLER), zipfile.ZIP_STORED)
            with packed.open(name, "w", force_zip64=True) as stream:
                stream.write(member(name))
        packed.writestr("Expt 9/Records/last.bin", random.Random(99).randbytes(FILLER), zipfile.ZIP_STORED)
    assert b"PK\x06\x06" in buffer.getvalue()  # the zip64 end of the directory
    return buffer.getvalue()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def remote(range_server: Any, archive: bytes, waits: list[float]) -> Callable[..., RemoteFile]:
    range_server.files["/expt 9.zip"] = archive
    patience = Patience(tries=4, timeout_s=5.0, sleep=waits.append)

    def make(md5: str = "") -> RemoteFile:
        url = f"{range_server.url}/expt%209.zip"
        return RemoteFile(url, "expt 9.zip", "source 'lgm50t'", "put it into a folder", md5, patience)

    return make


def fetch(remote: RemoteFile, into: Path) -> list[str]:
    members = fetch_members(remote, lambda name: name.startswith("cell "), into)
    assert not list(into.rglob(".*"))  # nothing half-written is left
    return [info.filename for info in members]


def is_right(into: Path) -> bool:
    return all((into / name).read_bytes() == member(name) for name in NAMES)


def test_only_what_is_needed_is_transferred(remote: Any, range_server: Any, archive: bytes, tmp_path: Path) -> None:
    assert fetch(remote(), tmp_path) == NAMES
    assert is_right(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == len(NAMES)
    needed = 9 * 9_000
    assert range_server.sent < TAIL + needed + 5_000 < len(archive) / 8
    assert len(range_server.ranges) == 1 + 3  # the directory, then one request a folder of three neighbours
    assert range_server.ranges[0] == f"bytes=-{TAIL}"
    assert all(agent.startswith("battery-retraining/") for agent in range_server.agents)


def test_members_that_are_whole_are_not_fetched_again(remote: Any, range_server: Any, tmp_path: Path) -> None:
    fetch(remote(), tmp_path)
    (tmp_path / NAMES[4]).unlink()
    (tmp_path / NAMES[8]).write_bytes(b"x" * len(member(NAMES[8])))  # the size is right, the content is not
    range_server.ranges.clear()
    range_server.sent = 0
    fetch(remote(), tmp_path)
    assert is_right(tmp_path)
    assert len(range_server.ranges) == 3
    assert TAIL + 2 * 9_000 < range_server.sent < TAIL + 2 * 9_000 + 2_000


def test_a_cut_connection_goes_on_where_it_was_cut(
    remote: Any, range_server: Any, fault: Any, waits: list[float], tmp_path: Path
) -> None:
    range_server.faults = [fault(), fault(cut_after=20_000), fault(cut_after=0)]
    fetch(remote(), tmp_path)
    assert is_right(tmp_path)
    asked, again, once_more = (int(text.split("=")[1].split("-")[0]) for text in range_server.ranges[1:4])
    assert asked < again == once_more <= asked + 20_000
    assert waits == [1.0, 2.0]


def test_what_came_before_the_server_went_is_kept(
    remote: Any, range_server: Any, fault: Any, waits: list[float], tmp_path: Path
) -> None:
    range_server.faults = [fault(), fault()]
    range_server.always = fault(cut_after=100)
    message = (
        r"source 'lgm50t': http://\S+ cannot be read \(.+, 4 tries\) - check the network .* or put it into a folder"
    )
    with pytest.raises(DataError, match=message) as caught:
        fetch(remote(), tmp_path)
    assert "\n" not in str(caught.value)
    assert waits == [1.0, 2.0, 4.0]
    here = sorted(path for path in tmp_path.rglob("*.csv"))
    assert [path.name for path in here] == [f"cell A - {k}.csv" for k in range(3)]
    range_server.always = fault()
    range_server.ranges.clear()
    fetch(remote(), tmp_path)
    assert is_right(tmp_path)
    assert len(range_server.ranges) == 1 + 2


@pytest.mark.parametrize(("status", "asked", "waited"), [(429, "7", 7.0), (503, "", 1.0), (503, "soon", 1.0)])
def test_a_busy_server_is_asked_again_when_it_says(
    remote: Any,
    range_server: Any,
    fault: Any,
    waits: list[float],
    tmp_path: Path,
    status: int,
    asked: str,
    waited: float,
) -> None:
    range_server.faults = [fault(status=status, retry_after=asked)]
    fetch(remote(), tmp_path)
    assert is_right(tmp_path)
    assert waits == [waited]


def test_a_date_to_come_back_at_is_obeyed(
    remote: Any, range_server: Any, fault: Any, waits: list[float], tmp_path: Path
) -> None:
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    range_server.faults = [fault(), fault(status=503, retry_after=at)]
    fetch(remote(), tmp_path)
    assert 50.0 < waits[0] <= 60.0


def test_a_server_that_wants_an_hour_is_left_alone(
    remote: Any, range_server: Any, fault: Any, waits: list[float], tmp_path: Path
) -> None:
    range_server.faults = [fault(status=429, retry_after="3600")]
    with pytest.raises(DataError, match=r"is busy \(HTTP 429\) and asks to wait 3600 s, at most 300 s.* try again"):
        fetch(remote(), tmp_path)
    assert waits == []


def test_a_server_that_stays_busy_gives_one_clear_line(
    remote: Any, range_server: Any, fault: Any, waits: list[float], tmp_path: Path
) -> None:
    range_server.always = fault(status=503)
    with pytest.raises(DataError, match=r"cannot be read \(HTTP 503 Service Unavailable, 4 tries\)"):
        fetch(remote(), tmp_path)
    assert waits == [1.0, 2.0, 4.0]


def test_a_wrong_byte_on_the_way_is_read_again(remote: Any, range_server: Any, fault: Any, tmp_path: Path) -> None:
    range_server.faults = [fault(), fault(flip=True)]
    fetch(remote(), tmp_path)
    assert is_right(tmp_path)
    assert len(range_server.ranges) == 1 + 4


@pytest.mark.parametrize("damage", ["content", "cut"])
def test_a_damaged_member_is_refused(
    remote: Any, range_server: Any, archive: bytes, tmp_path: Path, damage: str
) -> None:
    with zipfile.ZipFile(BytesIO(archive)) as packed:
        info = packed.getinfo(NAMES[4])
    broken = bytearray(archive)
    begin = info.header_offset + 30 + len(info.filename) + 20  # header, name, zip64 field
    if damage == "content":
        broken[begin + 4_000] ^= 0xFF
    else:  # the end of the member is lost
        broken[begin + 2_000 : begin + info.compress_size] = bytes(info.compress_size - 2_000)
    range_server.files["/expt 9.zip"] = bytes(broken)
    with pytest.raises(
        DataError, match=r"'Expt 9/Curves B/cell B - 1.csv' is damaged in its archive \(.+\) - try again"
    ):
        fetch(remote(), tmp_path)
    assert not (tmp_path / NAMES[4]).exists()
    assert (tmp_path / NAMES[3]).read_bytes() == member(NAMES[3])


def test_without_range_support_nothing_is_downloaded(
    remote: Any, range_server: Any, fault: Any, archive: bytes, waits: list[float], tmp_path: Path
) -> None:
    range_server.always = fault(ignore_range=True, length=9_100_000_000)
    with pytest.raises(DataError, match=r"does not answer range requests; it would send all 9\.1 GB of it.*nothing"):
        fetch(remote(), tmp_path)
    assert waits == []
    assert not list(tmp_path.iterdir())


def test_a_wrong_content_length_is_not_believed(
    remote: Any, range_server: Any, fault: Any, waits: list[float], tmp_path: Path
) -> None:
    range_server.faults = [fault(), fault(length=5), fault(length=10**6)]
    fetch(remote(), tmp_path)
    assert is_right(tmp_path)
    assert waits == [1.0, 2.0]
    range_server.always = fault(length=5)
    with pytest.raises(DataError, match=r"cannot be read \(Content-Length 5 for 65536 bytes, 4 tries\)"):
        fetch(remote(), tmp_path)


def test_another_version_halfway_is_noticed(remote: Any, range_server: Any, fault: Any, tmp_path: Path) -> None:
    range_server.faults = [fault(etag="one"), fault(etag="one"), fault(etag="two")]
    with pytest.raises(DataError, match="changed while it was read - try again"):
        fetch(remote(), tmp_path)


def test_an_archive_that_is_not_the_published_one_is_refused(
    remote: Any, range_server: Any, fault: Any, tmp_path: Path
) -> None:
    range_server.always = fault(etag="md5:abc")
    assert fetch(remote(md5="abc"), tmp_path)
    with pytest.raises(DataError, match="has md5:abc, the published file md5:123 - it is another version"):
        fetch(remote(md5="123"), tmp_path)


def test_a_missing_file_is_one_clear_line(remote: Any, range_server: Any, waits: list[float], tmp_path: Path) -> None:
    range_server.files.clear()
    with pytest.raises(DataError, match=r"answers HTTP 404 Not Found - check the address, or put it into a folder"):
        fetch(remote(), tmp_path)
    assert waits == []


def test_what_is_no_zip_archive_is_one_clear_line(remote: Any, range_server: Any, tmp_path: Path) -> None:
    range_server.files["/expt 9.zip"] = b"<html>down for maintenance</html>" * 100
    with pytest.raises(DataError, match=r"is not a zip archive .* - check the address"):
        fetch(remote(), tmp_path)


def test_without_network_it_is_one_clear_line(waits: list[float], tmp_path: Path) -> None:
    with socket.socket() as taken:  # a port where nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/expt.zip"
        remote = RemoteFile(url, "expt", "source 'lgm50t'", "use files", patience=Patience(tries=3, sleep=waits.append))
        with pytest.raises(DataError, match=r"cannot be read \(ConnectionError, 3 tries\) - check the") as caught:
            fetch(remote, tmp_path)
    assert "\n" not in str(caught.value)
    assert waits == [1.0, 2.0]


def test_a_disk_that_fills_up_leaves_no_half_file(remote: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def half(path: Path, content: bytes) -> int:
        with path.open("wb") as stream:
            stream.write(content[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", half)
        with pytest.raises(OSError, match="No space left"):
            fetch(remote(), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    fetch(remote(), tmp_path)
    assert is_right(tmp_path)


def test_a_name_that_leads_out_of_the_folder_is_refused(remote: Any, range_server: Any, tmp_path: Path) -> None:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        packed.writestr("a/../../cell A.csv", b"x")
    range_server.files["/expt 9.zip"] = buffer.getvalue()
    with pytest.raises(DataError, match=r"member 'a/\.\./\.\./cell A\.csv' leads out of its archive"):
        fetch(remote(), tmp_path)


def test_a_long_fetch_says_how_far_it_is(
    remote: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(remote_archive._Progress, "every_s", 0.0)
    with caplog.at_level(logging.INFO, logger=remote_archive.__name__):
        fetch(remote(), tmp_path)
    assert caplog.messages[-1] == "expt 9.zip: 0.1 of 0.1 MB"
