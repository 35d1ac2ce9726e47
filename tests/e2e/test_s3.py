"""Data versions to S3-compatible storage and back, over HTTP, and what is said when it refuses or is not there.

Needs a server that speaks S3 on this machine: ``pip install -c constraints.txt -e ".[dev,s3,moto]"``.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests

from battery_core.data.settings import DataSettings
from battery_core.data.versioning import remote as remote_room
from battery_core.data.versioning.content import content_version
from battery_core.data.versioning.remote import Remote, RemoteError
from battery_core.data.versioning.store import VersionStore

pytestmark = pytest.mark.e2e
HOW = 'S3 is tried with: pip install -c constraints.txt -e ".[dev,s3,moto]"'
moto_server = pytest.importorskip("moto.server", reason=HOW)
pytest.importorskip("dvc_s3", reason=HOW)
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_MAX_ATTEMPTS": "1", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere",
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A server that speaks S3 on this machine, with one bucket; its address."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION"):
            patch.delenv(name, raising=False)
        for name, value in KEYS.items():
            patch.setenv(name, value)
        moto = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        moto.start()
        url = "http://{}:{}".format(*moto.get_host_and_port())
        assert requests.put(f"{url}/cells", timeout=10).status_code == 200
        yield url
        moto.stop()


@pytest.fixture
def remote(server: str, tmp_path: Path) -> Remote:
    data = DataSettings(remote="s3://cells/soh", remote_endpoint_url=server, remote_region="eu-west-2")
    return replace(Remote.of(tmp_path, data), wait_s=0.01)


@pytest.fixture
def kept(tmp_path: Path) -> str:
    (tmp_path / "data/deep").mkdir(parents=True)
    (tmp_path / "data/a.csv").write_bytes(bytes(range(256)) * 40)
    (tmp_path / "data/deep/b °C.csv").write_text(f"y\n{tmp_path}\n")
    return VersionStore(tmp_path).save(tmp_path / "data")


def test_from_the_bucket_bit_for_bit_after_the_store_is_gone(remote: Remote, kept: str, tmp_path: Path) -> None:
    store, folder = VersionStore(tmp_path), tmp_path / "data"
    before = {file.name: file.read_bytes() for file in folder.rglob("*.csv")}
    remote.push([kept])
    listed = requests.get(f"{remote.endpoint_url}/cells?prefix=soh/files/md5/{kept[:2]}", timeout=10).text
    assert f"soh/files/md5/{kept[:2]}/{kept[2:]}" in listed
    shutil.rmtree(tmp_path / ".dvc" / "cache")
    shutil.rmtree(folder)
    assert store.missing(kept) == [kept]
    remote.pull([kept])
    assert store.drop_damaged(kept) == []
    assert store.restore(kept, folder) == 2
    assert {file.name: file.read_bytes() for file in folder.rglob("*.csv")} == before


def test_a_bucket_that_is_not_there_is_one_line_and_not_tried_again(remote: Remote, kept: str) -> None:
    said: list[str] = []
    with pytest.raises(RemoteError, match=r"'s3://wrong/soh at http://.*': push failed: there is no such bucket"):
        replace(remote, place="s3://wrong/soh").push([kept], said.append)
    with pytest.raises(RemoteError, match=r"pull failed: there is no such bucket - create it once, or correct"):
        replace(remote, place="s3://wrong/soh").pull(["0" * 32 + ".dir"], said.append)
    assert said == []


def test_keys_that_are_refused_are_one_line(remote: Remote, kept: str) -> None:
    requests.post(f"{remote.endpoint_url}/moto-api/reset-auth", data=b"0", timeout=10)  # from now on keys are checked
    try:
        with pytest.raises(RemoteError, match="push failed: the keys are refused - correct AWS_ACCESS_KEY_ID and"):
            remote.push([kept])
        with pytest.raises(RemoteError, match="pull failed: the keys are refused"):
            remote.pull([kept])
    finally:
        requests.post(f"{remote.endpoint_url}/moto-api/reset-auth", data=b"inf", timeout=10)


def test_a_server_that_is_gone_is_asked_again_by_a_process_that_ends_with_one_line(
    remote: Remote, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_room, "_TRIES", 1)
    gone = replace(remote, endpoint_url="http://127.0.0.1:9")
    with pytest.raises(RemoteError, match=r"at http://127.0.0.1:9': push failed 1 times: does not answer - is it up"):
        gone.push([kept])


def test_without_keys_it_says_which_to_set(remote: Remote, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(RemoteError, match="push failed: found no keys - set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS"):
        remote.push([kept])


def command(house: Any, *words: str, remote: str) -> str:
    """Both outputs of a command of the house; S3 is the settings' remote."""
    return str(house.run("python", *words, **KEYS, BATTERY__DATA__REMOTE_ENDPOINT_URL=remote).stdout)


def test_a_night_sends_its_data_and_they_come_back(house: Any, server: str) -> None:
    settings = ("--data.remote", "s3://cells/nights", "--models", "lgbm", "--release.allow_dirty", "true")
    said = command(house, "flows/train.py", *settings, remote=server)
    assert "sent to 's3://cells/nights at http://127.0.0.1" in said, said
    data = house.root / "data"
    before = {path: content_version(data / path / "simulated") for path in ("raw", "normalized")}
    shutil.rmtree(house.root / ".dvc" / "cache")
    shutil.rmtree(data / "raw")
    shutil.rmtree(data / "normalized")
    said = command(house, "-m", "battery_core", "restore", "1", "--data.remote", "s3://cells/nights", remote=server)
    assert "files restored" in said, said
    assert {path: content_version(data / path / "simulated") for path in ("raw", "normalized")} == before
    said = command(house, "-m", "battery_core", "restore", "1", "--data.remote", "s3://cells/nights", remote=server)
    assert said.count("stands already") == 3, said


def test_a_bucket_that_is_gone_costs_no_night(house: Any, server: str) -> None:
    versions = house.versions()
    settings = ("--data.remote", "s3://gone/nights", "--models", "lgbm", "--release.allow_dirty", "true", "--seed", "5")
    done = house.run("python", "flows/train.py", *settings, **KEYS, BATTERY__DATA__REMOTE_ENDPOINT_URL=server)
    assert done.returncode == 0, done.stdout
    assert "there is no such bucket - create it once" in done.stdout
    assert "data version(s) wait here and go with the next run" in done.stdout
    assert "Traceback" not in done.stdout
    assert house.versions() == versions + 1
