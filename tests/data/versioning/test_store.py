"""Data versions come back byte for byte, whatever happened to the cache, or are said to be gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from battery_core.data.versioning import remote as remote_room
from battery_core.data.versioning.content import content_version
from battery_core.data.versioning.remote import PULL, Remote, RemoteError
from battery_core.data.versioning.remote_copy import copy
from battery_core.data.versioning.store import VersionStore
from battery_core.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "a.csv").write_text("x\n1\n")
    (data / "deep/b °C.csv").write_text("y\n2\n")
    (data / "ORIGIN.json").write_text("{}")
    return data


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    return VersionStore(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_is_kept_comes_back_byte_for_byte(store, folder, tmp_path):
    before = contents(folder)
    version = store.save(folder)
    assert version == content_version(folder)
    (folder / "a.csv").write_text("x\n9\n")
    assert store.differences(version, folder) == ["a.csv"]
    assert contents(folder) != before
    assert store.restore(version, folder) == 3
    assert contents(folder) == before
    single = store.save(folder / "a.csv")
    assert store.restore(single, tmp_path / "elsewhere" / "a.csv") == 1
    assert (tmp_path / "elsewhere" / "a.csv").read_bytes() == before["a.csv"]
    assert store.file(version, "deep/b °C.csv").read_bytes() == before["deep/b °C.csv"]
    assert store.file(version, "nothing.csv") is None


def test_an_edit_of_the_restored_file_does_not_reach_the_store(store, folder):
    version = store.save(folder)
    store.restore(version, folder)
    (folder / "a.csv").write_text("spoilt")
    assert store.drop_damaged(version) == []


def test_dvc_itself_finds_what_the_store_keeps(store, folder, tmp_path):
    version = store.save(folder)
    (tmp_path / "data.dvc").write_text(f"outs:\n- md5: {version}\n  hash: md5\n  path: data\n")
    before = contents(folder)
    shutil.rmtree(folder)
    subprocess.run([sys.executable, "-m", "dvc", "checkout"], cwd=tmp_path, check=True, capture_output=True)
    assert contents(folder) == before


def test_what_is_kept_already_is_not_copied_again(store, folder):
    version = store.save(folder)
    place = store.file(version, "a.csv")
    inode = place.stat().st_ino
    assert store.save(folder, version) == version
    assert place.stat().st_ino == inode


def test_lost_and_damaged_parts_are_noticed(store, folder, tmp_path):
    version = store.save(folder)
    place = store.file(version, "a.csv")
    place.chmod(0o644)
    place.write_text("another content")
    assert store.missing(version) == []  # a look at names only
    damaged = store.drop_damaged(version)
    assert len(damaged) == 1
    with pytest.raises(DataError, match=rf"data version {version}: 1 of its files are not in"):
        store.restore(version, tmp_path / "back")
    assert store.save(folder) == version  # the next run mends it
    assert store.drop_damaged(version) == []


def test_a_list_of_files_that_is_cut_off_is_no_version(store, folder):
    version = store.save(folder)
    listing = Path(store.cache.oid_to_path(version))
    listing.chmod(0o644)
    listing.write_text(listing.read_text()[:30])
    assert store.drop_damaged(version) == [version]


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    (tmp_path / "second").mkdir()
    return Remote(tmp_path, str(tmp_path / "second"), wait_s=0.01)


def test_from_the_remote_after_the_store_is_gone(store, folder, remote, tmp_path):
    version, before = store.save(folder), contents(folder)
    remote.push([version])
    shutil.rmtree(tmp_path / ".dvc" / "cache")
    shutil.rmtree(folder)
    assert store.missing(version) == [version]
    remote.pull([version])
    store.restore(version, folder)
    assert contents(folder) == before
    lost = next(file for file in (tmp_path / "second").rglob("*") if file.is_file() and file.suffix != ".dir")
    lost.unlink()
    shutil.rmtree(tmp_path / ".dvc" / "cache")
    assert copy(PULL, remote, [version]) == [lost.parent.name + lost.name]


def test_a_remote_may_be_named_in_the_config_of_dvc(store, folder, remote, tmp_path):
    version = store.save(folder)
    with (tmp_path / ".dvc" / "config").open("a") as config:
        config.write(f"['remote \"nas\"']\n    url = {tmp_path / 'second'}\n")
    replace(remote, place="nas").push([version])
    assert len([file for file in (tmp_path / "second").rglob("*") if file.is_file()]) == 4


def test_a_remote_that_fails_once_is_tried_again(store, folder, remote, monkeypatch):
    answers = iter(["no answer", ""])
    monkeypatch.setattr(Remote, "_once", lambda self, command: next(answers))
    said: list[str] = []
    remote.push([store.save(folder)], said.append)
    assert said == [f"data remote '{remote.place}': no answer; try 2 of 3"]


def test_a_remote_that_goes_on_failing_is_one_line(store, folder, remote, monkeypatch):
    monkeypatch.setattr(Remote, "_once", lambda self, command: "OSError: no route to host")
    with pytest.raises(RemoteError, match="push failed 3 times: OSError: no route to host"):
        remote.push([store.save(folder)])


def test_what_a_storage_library_raises_is_its_last_line(remote):
    raises = [sys.executable, "-c", "raise RuntimeError('credentials are missing')"]
    assert remote._once(raises) == "RuntimeError: credentials are missing"


def test_a_remote_that_hangs_is_stopped(remote):
    started = time.monotonic()
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert replace(remote, timeout_s=0.2)._once(waits) == "not done after 0.2 s, stopped"
    assert time.monotonic() - started < 10


def test_a_disk_that_is_not_mounted_is_not_written_into(store, folder, remote, tmp_path):
    with pytest.raises(RemoteError, match=r"no folder '.*nas' - is its disk mounted"):
        replace(remote, place=str(tmp_path / "nas")).push([store.save(folder)])
    assert not (tmp_path / "nas").exists()


def test_storage_without_its_package_says_what_to_install(remote, monkeypatch):
    monkeypatch.setattr(remote_room.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RemoteError, match=r'S3 needs the package dvc-s3.*pip install -c constraints.txt -e "\.\[s3\]"'):
        replace(remote, place="s3://bucket/data").push(["0" * 32])
