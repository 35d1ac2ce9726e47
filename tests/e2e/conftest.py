"""A house for each end-to-end test file: a fresh clone of the last commit with its own server port, homes and data.

Whatever a test starts there carries a mark in its environment: it is found again, and stopped, however the test ends.
"""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
MARK = "BATTERYHOUSE"
QUICK = {"BATTERY__TRAINER__EPOCHS": "4", "BATTERY__LGBM__N_ESTIMATORS": "40"}


@dataclass
class House:
    """A clone of the project in which nothing of the developer's own is touched."""

    root: Path
    port: int
    logs: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # compiled modules are written, as at a user's
        ours = ("BATTERY", "PREFECT", "MLFLOW", "DVC", "PYTHONDONTWRITE")
        kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(ours)}
        self.mark = uuid.uuid4().hex
        self.environment = kept | {
            MARK: self.mark,
            "HOME": str(self.root.parent),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root),
            "PYTHONUNBUFFERED": "1",
            "PREFECT_HOME": str(self.root.parent / "prefect"),
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DVC_SITE_CACHE_DIR": str(self.root.parent / "dvc"),
            "COLUMNS": "200",
            **QUICK,
        }

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    def run(self, *command: str, timeout: float = 300, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run to the end; both outputs in ``stdout``."""
        return subprocess.run(
            command, cwd=self.root, env=self.environment | extra, timeout=timeout, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def start(self, *command: str, **extra: str) -> subprocess.Popen[bytes]:
        """Start beside; its output is in ``said(process)``."""
        process = subprocess.Popen(
            command, cwd=self.root, env=self.environment | extra, start_new_session=True,
            stdout=(self.logs / "next").open("wb"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        (self.logs / "next").rename(self.logs / str(process.pid))
        return process

    def said(self, process: subprocess.Popen[bytes]) -> str:
        return (self.logs / str(process.pid)).read_text(errors="replace")

    def processes(self, *words: str) -> dict[int, str]:
        """Command lines of what runs in this house and holds all the words."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                    if line and all(word in line for word in words):
                        found[int(folder.name)] = line
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def empty(self) -> None:
        """Stop everything that still runs in this house."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.processes():
                try:
                    os.kill(pid, sign)
                except ProcessLookupError:
                    continue
            if eventually(lambda: not self.processes(), 10, required=False):
                return

    def call(self, path: str, **body: Any) -> Any:
        """What the server of this house answers."""
        import json

        data = json.dumps(body).encode()
        ask = urllib.request.Request(self.api + path, data, {"Content-Type": "application/json"}, method="POST")
        with urllib.request.urlopen(ask, timeout=30) as answer:
            return json.loads(answer.read())

    def history(self) -> dict[str, tuple[str, list[str]]]:
        """State of each flow run and of its task runs, as the database holds them."""
        with sqlite3.connect(self.root.parent / "prefect" / "prefect.db", timeout=30) as db:
            runs = db.execute("select id, name, state_type from flow_run").fetchall()
            states = db.execute("select flow_run_id, state_type from task_run").fetchall()
        return {name: (state, sorted(kind for run, kind in states if run == id_)) for id_, name, state in runs}

    def versions(self) -> int:
        """How many model versions the registry holds."""
        with sqlite3.connect(self.root / "artifacts" / "mlflow.db", timeout=30) as db:
            return int(db.execute("select count(*) from model_versions").fetchone()[0])


def eventually(check: Callable[[], Any], seconds: float, required: bool = True) -> Any:
    """The first true answer within so many seconds."""
    end = time.monotonic() + seconds
    while not (answer := check()):
        if time.monotonic() > end:
            assert not required, f"not within {seconds} s"
            return answer
        time.sleep(0.1)
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A fresh clone with a server port of its own."""
    home = tmp_path_factory.mktemp("house")
    root, port = home / "battery", free_port()
    (home / "logs").mkdir()
    subprocess.run(["git", "clone", "--quiet", str(CHECKOUT), str(root)], check=True)
    project = root / "pyproject.toml"
    project.write_text(project.read_text().replace("127.0.0.1:4200", f"127.0.0.1:{port}"))
    identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", "-C", str(root), *identity, "commit", "--quiet", "-am", "a port of its own"], check=True)
    made = House(root, port, home / "logs")
    try:
        yield made
    finally:
        made.empty()


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    return eventually
