"""The local record: whole at every moment, and readable by anyone."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest

from battery_core.tracking.base import TrackingError
from battery_core.tracking.local_tracker import LocalTracker, read_metrics
from battery_core.training.settings import TrainerSettings


@pytest.fixture
def tracker(tmp_path: Path) -> LocalTracker:
    return LocalTracker(tmp_path / "runs", use_tensorboard=False)


def test_a_run_is_a_folder(tracker: LocalTracker) -> None:
    run_id = tracker.start_run("mlp baseline", {"epochs": 3, "mlp": {"dims": [4, 2]}, "device": None})
    folder = tracker.run_dir
    assert folder == tracker.base_dir / run_id
    assert "-mlp-baseline-" in run_id
    tracker.log_metrics({"loss": 0.5, "val": math.nan}, step=0)
    assert len(list(read_metrics(folder))) == 1  # on disk before the run ends
    tracker.log_metrics({"loss": math.inf}, step=1)
    tracker.log_params({"extra": 1})
    tracker.set_tags({"source": "lgm50t", "n": 3})
    tracker.end_run()
    about = json.loads((folder / "run.json").read_text())
    assert about["status"] == "FINISHED"
    assert about["ended_ms"] >= about["started_ms"]
    assert about["params"] == {"epochs": 3, "mlp.dims": "[4, 2]", "device": None, "extra": 1}
    assert about["tags"] == {"source": "lgm50t", "n": "3"}
    first, second = read_metrics(folder)
    assert first["metrics"]["loss"] == 0.5
    assert math.isnan(first["metrics"]["val"])
    assert second["metrics"]["loss"] == math.inf
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_settings_objects_are_params(tracker: LocalTracker) -> None:
    tracker.start_run("a", TrainerSettings(epochs=7))
    assert tracker._about["params"]["epochs"] == 7


def test_a_line_cut_off_by_a_crash_is_left_out(tracker: LocalTracker) -> None:
    tracker.start_run("a")
    tracker.log_metrics({"loss": 1.0}, step=0)
    folder = tracker.run_dir
    assert folder is not None
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1, "metr')
    assert [line["step"] for line in read_metrics(folder)] == [0]


def test_a_run_can_be_opened_again(tracker: LocalTracker) -> None:
    run_id = tracker.start_run("a", run_id="chosen")
    tracker.log_metrics({"loss": 1.0}, step=0)
    later = LocalTracker(tracker.base_dir, use_tensorboard=False)
    assert later.resume_run(run_id) == "chosen"
    later.log_metrics({"loss": 0.5}, step=1)
    later.end_run("failed")
    assert [line["step"] for line in read_metrics(tracker.base_dir / run_id)] == [0, 1]
    with pytest.raises(TrackingError, match=r"run 'other': expected 'run.json' in .*, found none"):
        later.resume_run("other")


def test_artifacts_are_kept(tracker: LocalTracker, tmp_path: Path) -> None:
    tracker.start_run("a")
    folder = tracker.run_dir
    assert folder is not None
    (tmp_path / "figure.png").write_bytes(b"1")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "w").write_bytes(b"2")
    (folder / "own.json").write_text("{}")
    for path in (tmp_path / "figure.png", tmp_path / "model", folder / "own.json"):
        tracker.log_artifact(path)
    assert (folder / "artifacts" / "figure.png").read_bytes() == b"1"
    assert (folder / "artifacts" / "model" / "w").read_bytes() == b"2"
    assert not (folder / "artifacts" / "own.json").exists()
    with pytest.raises(TrackingError, match=r"artifact '.*nothing' does not exist"):
        tracker.log_artifact(tmp_path / "nothing")


def test_logging_without_a_run_opens_one(tracker: LocalTracker, caplog: pytest.LogCaptureFixture) -> None:
    tracker.log_metrics({"loss": 1.0})
    assert tracker.run_dir is not None
    assert "nothing was open to log to: run '" in caplog.text


def test_misuse_is_named(tracker: LocalTracker) -> None:
    tracker.end_run()  # without a run nothing happens
    tracker.start_run("a", {"x": 1}, run_id="one")
    with pytest.raises(TrackingError, match=r"run 'one' is still open: call end_run\(\) before start_run\('b'\)"):
        tracker.start_run("b")
    with pytest.raises(TrackingError, match=r"param 'x' of the run is 1, not 2"):
        tracker.log_params({"x": 2})
    with pytest.raises(TrackingError, match=r"run status 'done': expected one of FINISHED, FAILED, KILLED"):
        tracker.end_run("done")


def test_curves_are_readable_by_tensorboard(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracker = LocalTracker(tmp_path)
    run_id = tracker.start_run("a")
    for step in range(3):
        tracker.log_metrics({"loss": 1.0 / (step + 1)}, step=step)
    tracker.end_run()
    events = EventAccumulator(str(tmp_path / run_id)).Reload().Scalars("loss")
    assert [(event.step, round(event.value, 4)) for event in events] == [(0, 1.0), (1, 0.5), (2, 0.3333)]


def test_without_tensorboard_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    tracker = LocalTracker(tmp_path)
    tracker.start_run("a")
    tracker.log_metrics({"loss": 1.0})
    tracker.end_run()
    assert "no curves for TensorBoard" in caplog.text
