"""Health checks without a server: data versions that the remote lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from battery_core.files import write_json
from deployments import doctor


def test_versions_that_the_remote_lacks_are_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._data_remote().is_ok
    assert "none is set" in doctor._data_remote().observed
    monkeypatch.setenv("BATTERY__DATA__REMOTE", "/mnt/nas")
    assert doctor._data_remote().observed == "'/mnt/nas' has every version"
    kept = {"source": "simulated", "raw": "a", "tables": "b", "split": "c", "split_file": "simulated.json"}
    record = project / "data" / "versions" / "simulated.json"
    write_json(record, [kept | {"kept_at": "", "sent_to": ["/mnt/nas"]}, kept | {"raw": "d", "sent_to": []}])
    check = doctor._data_remote()
    assert not check.is_ok
    assert check.observed == "'/mnt/nas': 1 version(s) not there yet"
    assert check.action.startswith("python -m battery_core snapshot")
