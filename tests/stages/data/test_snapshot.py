"""Which data versions wait for which second place."""

from __future__ import annotations

from pathlib import Path

import pytest

from battery_core.files import write_json
from battery_core.settings import resolve
from battery_core.stages.data.snapshot import unsent


@pytest.mark.parametrize(
    ("endpoint", "waiting"), [("http://nas:9000", ["new"]), ("http://other:9000", ["old", "new"]), ("", ["old", "new"])]
)
def test_a_bucket_of_the_same_name_elsewhere_is_another_place(project: Path, endpoint: str, waiting: list[str]) -> None:
    version = {"source": "simulated", "tables": "b", "split": "c", "split_file": "simulated.json", "kept_at": ""}
    sent = {"raw": "old", "sent_to": ["s3://cells/soh at http://nas:9000"]}
    write_json(project / "data/versions/simulated.json", [version | sent, version | {"raw": "new", "sent_to": []}])
    settings = resolve({"data.remote": "s3://cells/soh", "data.remote_endpoint_url": endpoint})
    assert [one.raw for one in unsent(settings)] == waiting
