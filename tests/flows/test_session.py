"""What a flow run by hand finds around it: which server records it, and that Ctrl-C is heard while it waits."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from battery_core.errors import SettingsError
from flows import session

CHECKOUT = Path(__file__).resolve().parents[2]
LOCAL, LAB = "http://127.0.0.1:4711/api", "http://lab:4200/api"


@pytest.fixture
def on_port_4711(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The port of the local server set by hand, PREFECT_API_URL left as the project has it; the servers asked."""
    from prefect.settings import PREFECT_API_URL, PREFECT_SERVER_API_HOST, PREFECT_SERVER_API_PORT, temporary_settings

    asked: list[str] = []
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(session, "healthy", lambda url: bool(asked.append(url)))
    given = {
        PREFECT_API_URL: session.PROJECT_API_URL,
        PREFECT_SERVER_API_HOST: "127.0.0.1",
        PREFECT_SERVER_API_PORT: 4711,
    }
    with temporary_settings(given):
        yield asked


def test_the_default_of_the_project_is_not_insisted_on(on_port_4711: list[str]) -> None:
    assert session.running_server() is None
    assert on_port_4711 == [LOCAL]  # where `prefect server start` would have started it
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["prefect"]
    assert project["api"]["url"] == session.PROJECT_API_URL


def test_a_local_server_that_answers_is_taken(on_port_4711: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "healthy", lambda url: url == LOCAL)
    assert session.running_server() == LOCAL


@pytest.mark.parametrize("url", [LAB, session.PROJECT_API_URL])
def test_a_server_asked_for_in_the_environment_has_to_answer(
    on_port_4711: list[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    monkeypatch.setenv("PREFECT_API_URL", url)
    said = rf"^PREFECT_API_URL: no Prefect server answers at {url} \(set in the environment\) - start it, or unset it$"
    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(SettingsError, match=said):
        session.running_server()
    assert on_port_4711 == [url]


def test_a_server_asked_for_in_a_profile_has_to_answer(on_port_4711: list[str]) -> None:
    from prefect.context import use_profile
    from prefect.settings import PREFECT_API_URL, Profile, temporary_settings

    profile = Profile(name="lab", settings={PREFECT_API_URL: LAB})
    said = pytest.raises(SettingsError, match=rf"answers at {LAB} \(set in profile 'lab'\)")
    with use_profile(profile), temporary_settings({PREFECT_API_URL: LAB}), said:
        session.running_server()


def test_a_server_asked_for_in_a_file_has_to_answer(on_port_4711: list[str]) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    said = pytest.raises(SettingsError, match=rf"answers at {LAB} \(set in prefect.toml, pyproject.toml or .env\)")
    with temporary_settings({PREFECT_API_URL: LAB}), said:
        session.running_server()


def later(seconds: float, call: Callable[..., object], *arguments: object) -> None:
    timer = threading.Timer(seconds, call, arguments)
    timer.daemon = True
    timer.start()


class Job:
    """A task that goes on for seconds, as the future of a task shows it."""

    def __init__(self, seconds: float) -> None:
        self._future: Future[str] = Future()
        later(seconds, self._future.set_result, "done")

    def result(self, timeout: float | None = None, raise_on_failure: bool = True) -> str:
        return self._future.result(timeout)


@pytest.fixture
def calls_are_taken_up_again() -> Iterator[None]:
    """SIGINT no longer breaks off a call of the system that waits, as polars' handler leaves it (SA_RESTART)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.siginterrupt(signal.SIGINT, False)
    yield
    signal.signal(signal.SIGINT, before)  # which lets it break off again, too


def test_ctrl_c_is_heard_while_a_job_trains(calls_are_taken_up_again: None) -> None:
    from flows.common import ended

    main = threading.main_thread().ident
    assert main is not None

    def interrupted(job: Any) -> None:
        later(0.1, signal.pthread_kill, main, signal.SIGINT)
        ended(job)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted(Job(seconds=2.0))
    assert time.monotonic() - started < 1.5  # long before the job is done


def test_a_job_that_ends_is_waited_for_over_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import common

    monkeypatch.setattr(common, "_STEP_S", 0.01)
    job: Any = Job(seconds=0.1)
    assert common.ended(job).result(timeout=0) == "done"


def test_what_shall_end_with_us_ends_when_we_are_killed() -> None:
    """A process that is killed cannot clean up: the server it started has to notice by itself."""
    parent = (
        "import subprocess, sys, time\n"
        "from flows.session import end_with_us\n"
        "server = subprocess.Popen(['sleep', '600'])\n"
        "end_with_us(server.pid)\n"
        "print(server.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", parent], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    server = Path("/proc") / run.stdout.readline().strip()
    assert server.is_dir()
    time.sleep(0.3)
    assert server.is_dir()  # not while we live
    run.kill()
    run.wait()
    run.stdout.close()
    end = time.monotonic() + 10
    while server.is_dir() and time.monotonic() < end:
        if "zombie" in (server / "status").read_text():
            break
        time.sleep(0.05)
    assert not server.is_dir() or "zombie" in (server / "status").read_text()
