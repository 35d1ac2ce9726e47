"""What the doctor sees without a server: data versions that the remote has not taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from battery_core.files import write_json
from deployments import doctor


def test_versions_that_wait_for_the_remote_are_seen(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._data_remote().well
    assert "none is set" in doctor._data_remote().seen
    monkeypatch.setenv("BATTERY__DATA__REMOTE", "/mnt/nas")
    assert doctor._data_remote().seen == "'/mnt/nas' has every version"
    kept = {"source": "simulated", "raw": "a", "tables": "b", "split": "c", "split_file": "simulated.json"}
    record = project / "data" / "versions" / "simulated.json"
    write_json(record, [kept | {"kept_at": "", "sent_to": ["/mnt/nas"]}, kept | {"raw": "d", "sent_to": []}])
    check = doctor._data_remote()
    assert not check.well
    assert check.seen == "'/mnt/nas': 1 version(s) not there yet"
    assert check.do.startswith("python -m battery_core snapshot")
