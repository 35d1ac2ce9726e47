"""The data version is what a real DVC records."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from battery_core.data.versioning.content import content_version, file_sha256
from battery_core.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "data"
    (data / "deep/er").mkdir(parents=True)
    (data / "empty folder").mkdir()
    (data / "a.csv").write_bytes(b"x,y\r\n1,2\r\n")
    (data / "deep/#1 name.csv").write_text("ä\n", encoding="utf-8")
    (data / "deep/er/binary").write_bytes(bytes(range(256)) * 5000)
    (data / ".hidden").write_text("h")
    (data / "nothing").touch()
    return data


def test_the_version_equals_that_of_dvc_add(folder, tmp_path):
    def dvc(*args: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *args], cwd=tmp_path, check=True, capture_output=True)

    dvc("init", "--no-scm")
    dvc("add", "data")
    recorded = yaml.safe_load((tmp_path / "data.dvc").read_text())["outs"][0]["md5"]
    assert content_version(folder) == recorded
    assert recorded.endswith(".dir")
    dvc("remove", "data.dvc")
    dvc("add", "data/a.csv")
    assert content_version(folder / "a.csv") == yaml.safe_load((folder / "a.csv.dvc").read_text())["outs"][0]["md5"]


def test_one_byte_or_one_name_changes_the_version_and_a_date_does_not(folder):
    before = content_version(folder)
    (folder / "a.csv").touch()
    assert content_version(str(folder)) == before
    (folder / "a.csv").write_bytes(b"x,y\r\n1,3\r\n")
    changed = content_version(folder)
    (folder / "a.csv").rename(folder / "b.csv")
    assert len({before, changed, content_version(folder)}) == 3


def test_a_missing_path_says_so(tmp_path):
    with pytest.raises(DataError, match="is not there - run the stage"):
        content_version(tmp_path / "raw")


def test_file_sha256_is_the_known_one(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_sha256(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
