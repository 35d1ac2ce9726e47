"""A run as a local folder; data are complete on disk before they are sent elsewhere."""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel

from battery_core.files import read_json, write_json
from battery_core.tracking.base import STATUSES, Tracker, TrackingError
from battery_core.tracking.curves import Curves, open_curves

logger = logging.getLogger(__name__)

RUN_FILE, METRICS_FILE = "run.json", "metrics.jsonl"


class LocalTracker(Tracker):
    """Write ``<base_dir>/<run_id>/``: run.json (settings, tags, status), metrics.jsonl, and TensorBoard curves.

    Logging without an open run opens one.

    Args:
        base_dir: folder of runs.
        use_tensorboard: whether to write event files too.

    Example:
        >>> import tempfile
        >>> tracker = LocalTracker(tempfile.mkdtemp(), use_tensorboard=False)
        >>> run_id = tracker.start_run("mlp", {"epochs": 2})
        >>> tracker.log_metrics({"val_loss": 0.1}, step=0)
        >>> list(read_metrics(tracker.run_dir))[0]["metrics"]
        {'val_loss': 0.1}
        >>> tracker.end_run()
    """

    def __init__(self, base_dir: Path | str = "artifacts/runs", use_tensorboard: bool = True) -> None:
        self.base_dir, self.use_tensorboard = Path(base_dir), use_tensorboard
        self._run_dir: Path | None = None
        self._about: dict[str, Any] = {}
        self._metrics: IO[str] | None = None
        self._curves: Curves | None = None

    @property
    def run_dir(self) -> Path | None:
        """Return the folder of the open run; None when no run is open."""
        return self._run_dir

    def start_run(
        self, name: str, config: Mapping[str, Any] | BaseModel | None = None, run_id: str | None = None
    ) -> str:
        """Open a run; ``run_id`` names its folder, by default after the time and the name.

        Raises:
            TrackingError: a run is open already.
        """
        if self._run_dir is not None:
            raise TrackingError(
                f"run '{self._about['run_id']}' is still open: call end_run() before start_run('{name}')"
            )
        run_id = run_id or _new_id(name)
        folder = self.base_dir / run_id
        folder.mkdir(parents=True, exist_ok=True)
        self._about = {"run_id": run_id, "name": name, "status": "RUNNING", "started_ms": _now_ms(), "ended_ms": None}
        self._about |= {"params": _flat(config), "tags": {}}
        self._open(folder, "w")
        return run_id

    def resume_run(self, run_id: str) -> str:
        """Open an interrupted run again; its metrics are kept.

        Raises:
            TrackingError: there is no such run.
        """
        folder = self.base_dir / run_id
        about = read_json(folder / RUN_FILE)
        if about is None:
            raise TrackingError(f"run '{run_id}': expected '{RUN_FILE}' in '{folder}', found none - start a new run")
        self._about = about | {"status": "RUNNING", "ended_ms": None}
        self._open(folder, "a")
        return run_id

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write numbers down; they are on disk when this returns."""
        file, now = self._needs_run()._metrics, time.time()
        assert file is not None
        values = {name: float(value) for name, value in metrics.items()}
        line = {"step": step or 0, "time_ms": int(now * 1000), "metrics": {k: _as_json(v) for k, v in values.items()}}
        file.write(json.dumps(line) + "\n")
        file.flush()
        if self._curves is not None:
            self._curves.add(values, step or 0, now)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Write settings down.

        Raises:
            TrackingError: a setting has another value already: what a run was made with does not change.
        """
        logged = self._needs_run()._about["params"]
        for name, value in _flat(params).items():
            if logged.get(name, value) != value:
                raise TrackingError(
                    f"param '{name}' of the run is {logged[name]!r}, not {value!r}: log it under another name"
                )
            logged[name] = value
        self._write()

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Write labels down."""
        self._needs_run()._about["tags"] |= {name: str(value) for name, value in tags.items()}
        self._write()

    def log_artifact(self, path: Path | str) -> None:
        """Copy a file or folder into the run's ``artifacts``; one inside the run folder stays where it is.

        Raises:
            TrackingError: it does not exist.
        """
        source, folder = Path(path), self._needs_run()._run_dir
        assert folder is not None
        if not source.exists():
            raise TrackingError(f"artifact '{source}' does not exist: write it before it is logged")
        if source.resolve().is_relative_to(folder.resolve()):
            return
        target = folder / "artifacts" / source.name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)

    def end_run(self, status: str = "FINISHED") -> None:
        """Close the run; without an open run nothing happens.

        Raises:
            TrackingError: the status is not one of FINISHED, FAILED, KILLED.
        """
        if status.upper() not in STATUSES:
            raise TrackingError(f"run status '{status}': expected one of {', '.join(STATUSES)}")
        if self._run_dir is None:
            return
        self._about |= {"status": status.upper(), "ended_ms": _now_ms()}
        self._write()
        if self._metrics is not None:
            self._metrics.close()
        if self._curves is not None:
            self._curves.close()
        self._run_dir, self._metrics, self._curves = None, None, None

    def _needs_run(self) -> LocalTracker:
        if self._run_dir is None:
            run_id = self.start_run("run")
            logger.warning("nothing was open to log to: run '%s' was started", run_id)
        return self

    def _open(self, folder: Path, mode: str) -> None:
        self._run_dir = folder
        self._metrics = (folder / METRICS_FILE).open(mode, encoding="utf-8")
        self._write()
        if self.use_tensorboard:
            self._curves = open_curves(folder)

    def _write(self) -> None:
        assert self._run_dir is not None
        write_json(self._run_dir / RUN_FILE, self._about)


def read_metrics(run_dir: Path | str, first_line: int = 0) -> Iterator[dict[str, Any]]:
    """Return the logged lines of metrics.jsonl from ``first_line`` on; a line cut off by a crash is left out."""
    with (Path(run_dir) / METRICS_FILE).open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            if number >= first_line and line.endswith("\n"):
                entry = json.loads(line)
                yield entry | {"metrics": {name: float(value) for name, value in entry["metrics"].items()}}


def _new_id(name: str) -> str:
    """Return a unique id that sorts by time and contains the name."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "run"
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{plain}-{secrets.token_hex(3)}"


def _now_ms() -> int:
    return int(time.time() * 1000)


def _as_json(value: float) -> float | str:
    """Return NaN and infinity as text, which ``float`` parses; JSON has no such numbers."""
    return value if math.isfinite(value) else str(value)


def _flat(config: Mapping[str, Any] | BaseModel | None, prefix: str = "") -> dict[str, Any]:
    """Return nested settings as dotted names and plain values."""
    values = config.model_dump(mode="json") if isinstance(config, BaseModel) else dict(config or {})
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping | BaseModel):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, bool | int | float | str | None) else str(value)
    return flat
