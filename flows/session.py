"""Prepare and end a flow run from the command line: its Prefect server, its complete history, no process left behind.

Prefect is imported inside functions: ``prepare`` and ``--help`` must run before it is loaded.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from battery_core.errors import BatteryError, SettingsError

if TYPE_CHECKING:
    from uuid import UUID

_DEFAULTS = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DVC_NO_ANALYTICS": "true",
}
PROJECT_API_URL = "http://127.0.0.1:4200/api"
"""The API URL in pyproject.toml, which every prefect command in this folder reads."""
_FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
_START_WAIT_S = 180  # Prefect's own 20 s are not enough on a busy machine
_HISTORY_WAIT_S = 20.0


def prepare() -> None:
    """Switch telemetry off in the environment that Prefect and MLflow read at import."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)


@contextmanager
def session() -> Iterator[None]:
    """Record a flow run at the running server, or at a temporary one that ends with the run.

    SIGTERM ends the run in order, so that the temporary server goes too.

    Raises:
        SettingsError: PREFECT_API_URL names a server that does not answer.
    """
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        url = running_server()
        if url:
            record_at(url)
            yield
        else:
            with _temporary_server() as temporary:
                record_at(temporary)
                yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leave(*_: Any) -> None:
    sys.exit(128 + signal.SIGTERM)


def running_server() -> str | None:
    """Return the API URL of the Prefect server that answers; None when none answers and none was configured.

    Raises:
        SettingsError: PREFECT_API_URL, set by the user, names a server that does not answer.
    """
    wanted, where = wanted_server()
    if healthy(wanted):
        return wanted
    if where and wanted != local_server():
        raise SettingsError(
            f"PREFECT_API_URL: no Prefect server answers at {wanted} (set in {where}) - start it, or unset it"
        )
    return None


def wanted_server() -> tuple[str, str | None]:
    """Return the API URL to record runs at, and where the user has set it (None for the default)."""
    from prefect.settings import PREFECT_API_URL

    named = PREFECT_API_URL.value()
    where = configured_in(named) if named else None
    return (str(named) if where else local_server()), where


def configured_in(api_url: str) -> str | None:
    """Return where the user has set this PREFECT_API_URL; None for the default of the project."""
    from prefect.context import get_settings_context
    from prefect.settings import PREFECT_API_URL

    if os.environ.get("PREFECT_API_URL"):
        return "the environment"
    profile = get_settings_context().profile
    if profile.settings.get(PREFECT_API_URL) == api_url:
        return f"profile '{profile.name}'"
    return None if api_url == PROJECT_API_URL else "prefect.toml, pyproject.toml or .env"


def local_server() -> str:
    """Return the API URL of a server that ``prefect server start`` starts here: port 4200 unless configured."""
    from prefect.settings import PREFECT_SERVER_API_HOST, PREFECT_SERVER_API_PORT

    return f"http://{PREFECT_SERVER_API_HOST.value()}:{PREFECT_SERVER_API_PORT.value()}/api"


@contextmanager
def _temporary_server() -> Iterator[str]:
    print("no Prefect server is running: a temporary one records this run (it takes some seconds to start)", flush=True)
    server = _server_that_ignores_ctrl_c()
    logging.getLogger("prefect.flow_runs").addFilter(_is_no_page_link)
    try:
        server.start(timeout=_START_WAIT_S)
        yield server.api_url
    finally:
        _send_queued()
        server.stop()


def _server_that_ignores_ctrl_c() -> Any:
    """Return a server that ignores Ctrl-C: if it ended before the run, the run would wait for it for minutes."""
    from prefect.server.api.server import SubprocessASGIServer

    class ShieldedServer(SubprocessASGIServer):
        watch: subprocess.Popen[bytes] | None = None

        def _run_uvicorn_command(self) -> Any:
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # a child inherits what is blocked
            try:
                server = super()._run_uvicorn_command()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self.watch = end_with_us(server.pid)
            return server

        def stop(self) -> None:
            super().stop()
            if self.watch is not None:
                self.watch.kill()
                self.watch.wait()

    return ShieldedServer()


def end_with_us(pid: int) -> subprocess.Popen[bytes]:
    """End a process when this one is gone, for whatever reason: a shell waits for its input to close, then kills it."""
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill "$0"', str(pid)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def _send_queued() -> None:
    """Send queued log lines and events; after the end of the server each would be retried for a minute."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=_HISTORY_WAIT_S)


def _is_no_page_link(record: logging.LogRecord) -> bool:
    """Return False for links to a run page: the temporary server has no pages."""
    return not str(record.msg).startswith("View at ")


def record_at(url: str) -> None:
    """Set the API URL for this process and all of its threads, also those in which Prefect sends logs and events."""
    from prefect.context import refresh_global_settings_context

    os.environ["PREFECT_API_URL"] = url
    refresh_global_settings_context()


def healthy(api_url: str, timeout_s: float = 2.0) -> bool:
    """Return whether a Prefect server answers at a URL."""
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, TimeoutError, ConnectionError):
        return False


def shorten_expected_errors() -> None:
    """Shorten Prefect's log: no traceback for errors that a user can fix, no lines about hooks."""

    def shorten(record: logging.LogRecord) -> bool:
        if str(record.msg).startswith(("Running hook", "Hook ")):
            return False
        if record.exc_info and isinstance(record.exc_info[1], BatteryError):
            record.msg, record.args = str(record.exc_info[1]), ()
            record.exc_info = record.exc_text = None
        return True

    for name in ("prefect.task_runs", "prefect.flow_runs"):
        logger = logging.getLogger(name)
        if not any(getattr(existing, "__name__", "") == shorten.__name__ for existing in logger.filters):
            logger.addFilter(shorten)


def wait_for_history(flow_run_id: UUID, task_run_ids: set[UUID], wait_s: float = _HISTORY_WAIT_S) -> int:
    """Wait until the server has the final state of each task run; a temporary server would lose them at exit.

    Returns:
        How many task runs are still not recorded when the wait is over.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    end = time.monotonic() + wait_s
    with get_client(sync_client=True) as client:
        while True:
            task_runs: list[Any] = client.read_task_runs(
                flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
            )
            final = {run.id for run in task_runs if run.state_type and run.state_type.value in _FINAL}
            missing = task_run_ids - final
            if not missing or time.monotonic() > end:
                return len(missing)
            time.sleep(0.2)
