"""MLflow gets what the local record has, once; when it fails, nothing is lost and nothing waits."""

from __future__ import annotations

import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from battery_core.tracking import dual_tracker, mlflow_tracker
from battery_core.tracking.__main__ import main
from battery_core.tracking.base import TrackingError
from battery_core.tracking.dual_tracker import DualTracker
from battery_core.tracking.local_tracker import LocalTracker, read_metrics
from battery_core.tracking.mlflow_tracker import ensure_store, is_store_reachable, resolve_uri, send_run

NewStore = Callable[[Path], str]


def client(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(uri)


def a_run(base: Path, steps: int = 3, end: bool = True) -> Path:
    tracker = LocalTracker(base, use_tensorboard=False)
    tracker.start_run("mlp", {"epochs": steps, "long": "x" * 9000})
    folder = tracker.run_dir
    assert folder is not None
    for step in range(steps):
        tracker.log_metrics({"loss": 1.0 / (step + 1), "nan": math.nan}, step=step)
    tracker.set_tags({"source": "lgm50t"})
    base.mkdir(exist_ok=True)
    (base / "note.txt").write_text("hello")
    tracker.log_artifact(base / "note.txt")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "best.pt").write_bytes(b"b")
    (folder / "checkpoints" / "last.pt").write_bytes(b"l")
    if end:
        tracker.end_run()
    return folder


def test_a_run_arrives_whole_and_once(tmp_path: Path, new_store: NewStore) -> None:
    uri = new_store(tmp_path / "store")
    folder = a_run(tmp_path, steps=700)  # two numbers a step: more than one batch
    run_id = send_run(folder, uri, "cells")
    assert send_run(folder, uri, "cells") == run_id
    (folder / "mlflow.json").unlink()  # as if the sender had died before it could note the id
    assert send_run(folder, uri, "cells") == run_id
    mlflow = client(uri)
    run = mlflow.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "mlp"
    assert run.data.params["epochs"] == "700"
    assert len(run.data.params["long"]) == 6000
    assert run.data.tags["source"] == "lgm50t"
    history = mlflow.get_metric_history(run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(e["step"], e["metrics"]["loss"]) for e in read_metrics(folder)]
    assert math.isnan(mlflow.get_metric_history(run_id, "nan")[0].value)
    assert {f.path for f in mlflow.list_artifacts(run_id)} == {"note.txt", "checkpoints"}
    assert [f.path for f in mlflow.list_artifacts(run_id, "checkpoints")] == ["checkpoints/best.pt"]
    assert (tmp_path / "store" / "mlartifacts" / "cells" / run_id).is_dir()


def test_a_run_in_progress_is_sent_piece_by_piece(tmp_path: Path, new_store: NewStore) -> None:
    uri = new_store(tmp_path / "store")
    tracker = LocalTracker(tmp_path / "runs", use_tensorboard=False)
    tracker.start_run("mlp")
    folder = tracker.run_dir
    assert folder is not None
    tracker.log_metrics({"loss": 1.0}, step=0)
    run_id = send_run(folder, uri)
    assert client(uri).get_run(run_id).info.status == "RUNNING"
    tracker.log_metrics({"loss": 0.5}, step=1)
    tracker.end_run("failed")
    assert send_run(folder, uri) == run_id
    assert client(uri).get_run(run_id).info.status == "FAILED"
    assert [m.value for m in client(uri).get_metric_history(run_id, "loss")] == [1.0, 0.5]


def test_dual_tracker_sends_in_the_background_and_at_the_end(tmp_path: Path, new_store: NewStore) -> None:
    uri = new_store(tmp_path / "store")
    tracker = DualTracker(tmp_path / "runs", False, uri, experiment="dual", flush_every=5)
    run_id = tracker.start_run("mlp", {"epochs": 12})
    for step in range(12):
        tracker.log_metrics({"loss": float(step)}, step=step)
    tracker.end_run()
    (run,) = client(uri).search_runs([client(uri).get_experiment_by_name("dual").experiment_id])
    assert run.data.tags["battery.run_id"] == run_id
    assert len(client(uri).get_metric_history(run.info.run_id, "loss")) == 12


def test_a_new_run_of_the_same_id_is_a_new_mlflow_run(tmp_path: Path, new_store: NewStore) -> None:
    uri = new_store(tmp_path / "store")
    ids = []
    for _ in range(2):
        tracker = LocalTracker(tmp_path / "runs", use_tensorboard=False)
        tracker.start_run("mlp", run_id="job")
        tracker.end_run()
        ids.append(send_run(tmp_path / "runs" / "job", uri))
        time.sleep(0.002)
    assert ids[0] != ids[1]


def test_a_file_uri_becomes_a_store_in_that_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    mlflow_tracker._warn_once.cache_clear()
    want = (f"sqlite:///{tmp_path}/a/mlruns/mlflow.db", f"file://{tmp_path}/a/mlruns/mlartifacts")
    for uri in ("file:./a/mlruns", "a/mlruns", f"file:{tmp_path}/a/mlruns", f"file://{tmp_path}/a/mlruns"):
        assert resolve_uri(uri) == want
    resolve_uri("file:./a/mlruns")
    assert caplog.text.count("'file:./a/mlruns' is kept as sqlite:///") == 1
    assert resolve_uri("sqlite:///a/mlruns/mlflow.db") == want
    assert resolve_uri("http://host:5000") == ("http://host:5000", None)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never answers."""
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()


def test_a_server_that_hangs_stalls_nothing(
    tmp_path: Path, silent_server: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.tracking  # noqa: F401 - what is timed is the waiting, not the import

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracker = DualTracker(tmp_path, False, silent_server, flush_every=1, mlflow_timeout_s=0.3)
    started = time.monotonic()
    run_id = tracker.start_run("mlp")
    for step in range(20):
        tracker.log_metrics({"loss": 1.0}, step=step)
    tracker.end_run()
    assert time.monotonic() - started < 2.5
    assert len(list(read_metrics(tmp_path / run_id))) == 20
    assert f"send it later: python -m battery_core.tracking {tmp_path / run_id} --uri {silent_server}" in caplog.text
    _join_senders()


def test_a_server_that_is_down_loses_nothing(
    tmp_path: Path, new_store: NewStore, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    down = "http://127.0.0.1:9"
    tracker = DualTracker(tmp_path / "runs", False, down)
    run_id = tracker.start_run("mlp")
    tracker.log_metrics({"loss": 1.0}, step=0)
    tracker.end_run()
    assert f"MLflow at '{down}' did not take run '{run_id}'" in caplog.text
    with pytest.raises(TrackingError, match=r"did not take run .* the local run is whole, send it later: python -m"):
        send_run(tmp_path / "runs" / run_id, down)
    folder, uri = str(tmp_path / "runs" / run_id), new_store(tmp_path / "store")
    assert main([folder, "--uri", uri]) == 0
    assert "MLflow run" in capsys.readouterr().out
    assert main([str(tmp_path), "--uri", uri]) == 1
    assert "expected 'run.json' in it, found none - give the folder of a run" in capsys.readouterr().err


def test_a_store_that_cannot_be_used_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "mlflow.db").write_text("this is no database")
    for uri in ("http://127.0.0.1:9", f"sqlite:///{tmp_path / 'mlflow.db'}"):
        with pytest.raises(TrackingError, match=r"cannot be used: .* what is trained is kept") as caught:
            ensure_store(uri)
        assert "\n" not in str(caught.value)


def test_a_store_that_stops_answering_is_said_in_one_line_and_a_file_speaks_for_itself() -> None:
    from mlflow.exceptions import MlflowException

    said = r"^MLflow at 'http://host' did not answer: gone away - look at the server"
    with pytest.raises(TrackingError, match=said), is_store_reachable("http://host"):
        raise MlflowException("gone\naway")
    with pytest.raises(FileNotFoundError, match=r"^best.pt$"), is_store_reachable("http://host"):
        raise FileNotFoundError("best.pt")


def test_whatever_breaks_in_mlflow_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*args: Any) -> str:
        raise ZeroDivisionError("inside MLflow")

    monkeypatch.setattr(mlflow_tracker, "send_run", broken)
    tracker = DualTracker(tmp_path, False, "http://host", flush_every=2)
    tracker.start_run("mlp")
    for step in range(8):
        tracker.log_metrics({"loss": 1.0}, step=step)
    tracker.end_run()
    assert "failed: ZeroDivisionError: inside MLflow - send the run later" in caplog.text


def test_without_a_uri_mlflow_is_never_imported(tmp_path: Path) -> None:
    code = (
        "import sys; from battery_core.tracking.dual_tracker import DualTracker; "
        f"t = DualTracker({str(tmp_path)!r}); t.start_run('a'); t.log_metrics({{'x': 1.0}}); t.end_run(); "
        "sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_processes_that_open_a_fresh_store_together_all_succeed(tmp_path: Path) -> None:
    code = "import sys; from battery_core.tracking.mlflow_tracker import send_run; print(send_run(*sys.argv[1:]))"
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    folders = [a_run(tmp_path / str(i)) for i in range(3)]
    jobs = [subprocess.Popen([sys.executable, "-c", code, str(f), uri], stdout=subprocess.PIPE) for f in folders]
    ids = {job.communicate(timeout=120)[0] for job in jobs}
    assert [job.returncode for job in jobs] == [0, 0, 0]
    assert len(ids) == 3


def _join_senders() -> None:
    for thread in threading.enumerate():
        if thread.name == "mlflow-sender":
            thread.join(20)
    assert dual_tracker  # the module whose threads these were
