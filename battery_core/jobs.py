"""Run a training job in its own process: spec and result are JSON files. A job that dies does not stop the others."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from battery_core.errors import BatteryError, TrainingError
from battery_core.files import read_json, sweep_parts, write_json

RESULT_FILE = "result.json"
SPEC_FILE = "spec.json"
PERMANENT_EXIT = 3  # an error that no retry can fix; the error line of the job describes it
FILES_EXIT = 4  # a file or the disk failed the job; trying again may help
_STOP_GRACE_S = 5.0


class JobKilled(Exception):
    """The process of the job was killed from outside (signal, memory); a retry may succeed."""


@cache
def library_versions(*names: str) -> dict[str, str]:
    """Return the versions of numpy and of further distributions, without build tags such as ``+cpu``.

    Example:
        >>> list(library_versions("lightgbm"))
        ['lightgbm', 'numpy']
    """
    return {name: importlib.metadata.version(name).split("+")[0] for name in sorted({"numpy", *names})}


@dataclass(frozen=True)
class JobSpec:
    """Everything that a training job depends on; equal specs give equal models.

    Args:
        model: name of the model.
        tables: folder of normalized tables.
        split: split file.
        data_hash: content of tables and split.
        settings: the settings sections that shape the model, as plain values.
        code: version of the code that trains.
        runs: folder of runs; the job writes into ``runs/<run_id>``.
        libraries: versions of the libraries that train; after an upgrade no earlier result is reused.
    """

    model: str
    tables: str
    split: str
    data_hash: str
    settings: Mapping[str, Any]
    code: str
    runs: str
    libraries: Mapping[str, str] = field(default_factory=library_versions)

    @property
    def key(self) -> str:
        """Hash of all that the result depends on, without the paths of the files."""
        content = {k: v for k, v in asdict(self).items() if k not in {"tables", "split", "runs"}}
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def run_id(self) -> str:
        """Name of the run: source, model and the start of the key."""
        return f"{self.settings['data']['source']}-{self.model}-{self.key[:10]}"

    @property
    def folder(self) -> Path:
        """Folder that the job writes into."""
        return Path(self.runs) / self.run_id


def finished(spec: JobSpec) -> dict[str, Any] | None:
    """Return the finished result of exactly this spec, or None."""
    result = read_json(spec.folder / RESULT_FILE)
    return result if isinstance(result, dict) and result.get("key") == spec.key else None


def run_job(spec: JobSpec, timeout_s: float, threads: int = 1, log: Callable[[str], None] = print) -> dict[str, Any]:
    """Train in a separate process and return its result; a finished result is reused.

    Raises:
        TrainingError: the job reported an error, it took longer than ``timeout_s``, or its whole run was stopped.
        JobKilled: its process was killed from outside, or a file could not be used; a retry may succeed.
    """
    earlier = finished(spec)
    if earlier is not None:
        return earlier | {"reused": True}
    if _STOPPING.is_set():
        raise TrainingError(f"training job '{spec.run_id}': not started, its run is being stopped")
    spec.folder.mkdir(parents=True, exist_ok=True)
    sweep_parts(spec.folder)  # leftovers of a killed job
    write_json(spec.folder / SPEC_FILE, asdict(spec))
    code, last_lines = _run_process(_command(spec.folder / SPEC_FILE), timeout_s, threads, log)
    result = finished(spec)
    if code == 0 and result is not None:
        return result | {"reused": False}
    _explain(spec, code, last_lines, timeout_s)


def _command(spec_file: Path) -> list[str]:
    return [sys.executable, "-m", "battery_core", "train-job", str(spec_file)]


def _explain(spec: JobSpec, code: int | None, lines: list[str], timeout_s: float) -> NoReturn:
    name = f"training job '{spec.run_id}'"
    if code is None:
        raise TrainingError(f"{name}: not done after {timeout_s:g} s, stopped - raise jobs.timeout_s or train less")
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if code == PERMANENT_EXIT and errors:
        raise TrainingError(f"{name}: {errors[-1]}")
    if _STOPPING.is_set():
        raise TrainingError(f"{name}: stopped with its run")
    if code < 0:
        raise JobKilled(f"{name}: its process was killed by {signal.Signals(-code).name}")
    if code == FILES_EXIT and errors:
        raise JobKilled(f"{name}: {errors[-1]}")
    raise TrainingError(f"{name}: its process ended with code {code}; last lines: {' | '.join(lines[-3:])}")


def _run_process(
    command: list[str], timeout_s: float, threads: int, log: Callable[[str], None]
) -> tuple[int | None, list[str]]:
    """Return the exit code (None: timeout) and the last lines. The child exits when its parent dies: stdin closes."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    _RUNNING.add(process)
    lines: deque[str] = deque(maxlen=20)
    reader = threading.Thread(target=_read_lines, args=(process, lines, log), daemon=True)
    reader.start()
    try:
        code: int | None = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        _stop(process)
        _RUNNING.discard(process)
        reader.join(_STOP_GRACE_S)
    return code, list(lines)


def _read_lines(process: subprocess.Popen[str], lines: deque[str], log: Callable[[str], None]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.rstrip())
        if not line.startswith("error: "):
            log(line.rstrip())


_RUNNING: set[subprocess.Popen[str]] = set()
_STOPPING = threading.Event()


@contextmanager
def none_left_behind() -> Iterator[None]:
    """Stop all jobs at once when the block is interrupted; no retry starts one again."""
    _STOPPING.clear()
    try:
        yield
    except BaseException:  # Ctrl-C and SIGTERM above all: they are no Exception, and leave the same jobs behind
        _STOPPING.set()
        for process in list(_RUNNING):
            _stop(process)
        raise


def _stop(process: subprocess.Popen[str]) -> None:
    """End the whole process group of a job, also children of a job that has already exited."""
    with suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(_STOP_GRACE_S)
    with suppress(ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_GRACE_S)


def exit_with_parent() -> None:
    """Exit this job process as soon as its parent is gone, so that no orphan writes into a run folder."""

    def wait_for_end_of_input() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        if os.getpgrp() == os.getpid():  # its children end too
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait_for_end_of_input, daemon=True).start()


def job_process(spec_file: Path, train: Callable[[JobSpec], dict[str, Any]]) -> int:
    """Run the job in its own process: read the spec, train, write the result last; return the exit code."""
    exit_with_parent()
    spec = JobSpec(**json.loads(spec_file.read_text()))
    try:
        result = train(spec)
    except BatteryError as err:
        print(f"error: {err}", flush=True)
        return PERMANENT_EXIT
    except OSError as err:
        print(f"error: {err.strerror or err}: '{err.filename}'", flush=True)
        return FILES_EXIT
    write_json(spec.folder / RESULT_FILE, result | {"key": spec.key, "run_id": spec.run_id})
    return 0
