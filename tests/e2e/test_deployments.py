"""The product: a real server, a worker, the nightly deployment and its clock, and the laptop beside it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest

from flows.session import healthy

pytestmark = pytest.mark.e2e
TWO_AT_NIGHT = 'cron: "0 2 * * *"'


@pytest.fixture(scope="module")
def server(house: Any, wait_for: Any) -> Any:
    """A server with the project's deployments and a worker."""
    process = house.start("prefect", "server", "start")
    wait_for(lambda: healthy(house.api) or process.poll() is not None, 180)
    assert process.poll() is None, house.said(process)
    for command in (
        ("prefect", "work-pool", "create", "local", "--type", "process"),
        ("prefect", "--no-prompt", "deploy", "--all"),
    ):
        done = house.run(*command)
        assert done.returncode == 0, done.stdout
    worker = house.start("prefect", "worker", "start", "--pool", "local")
    wait_for(lambda: "started!" in house.said(worker) or worker.poll() is not None, 60)
    assert worker.poll() is None, house.said(worker)
    return house


def deployments(house: Any) -> dict[str, Any]:
    return {found["name"]: found for found in house.call("/deployments/filter")}


def runs(house: Any, deployment: str, by_clock: bool) -> list[Any]:
    """Flow runs of a deployment, those the schedule made or those asked for by hand."""
    of = {"deployments": {"name": {"any_": [deployment]}}}
    return [run for run in house.call("/flow_runs/filter", **of) if run["auto_scheduled"] is by_clock]


def test_a_nightly_run_asked_for_by_hand_completes(server: Any) -> None:
    done = server.run("prefect", "deployment", "run", "train/nightly", "--watch")
    assert done.returncode == 0, done.stdout
    (run,) = runs(server, "nightly", by_clock=False)
    assert run["state_type"] == "COMPLETED"
    assert run["name"].startswith("simulated-")
    assert server.versions() == 1


def test_each_daily_scoring_leaves_a_table_and_a_plot_of_its_own(server: Any) -> None:
    for _ in range(2):
        done = server.run("prefect", "deployment", "run", "score/daily", "--watch")
        assert done.returncode == 0, done.stdout
    asked = runs(server, "daily", by_clock=False)
    assert [run["state_type"] for run in asked] == ["COMPLETED", "COMPLETED"]
    folders = [server.root / "artifacts" / "scores" / name for name in sorted(run["name"] for run in asked)]
    assert sorted(folders[0].parent.iterdir()) == folders
    first, second = (pd.read_parquet(folder / "scores.parquet") for folder in folders)
    assert first["cell_id"].nunique() == len(first) == 36
    assert set(first["model_version"]) == set(second["model_version"]) == {1}
    assert first["soh"].between(0.6, 1.05).all()
    assert first["scored_at"].iloc[0] < second["scored_at"].iloc[0]
    pd.testing.assert_frame_equal(first.drop(columns="scored_at"), second.drop(columns="scored_at"))
    for folder in folders:
        assert (folder / "fade.png").stat().st_size > 10_000


def test_the_plan_is_visible(server: Any) -> None:
    nightly = deployments(server)["nightly"]
    (schedule,) = nightly["schedules"]
    assert schedule["active"] is True
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 2 * * *", "Europe/London")
    assert set(nightly["parameters"]) == {"source", "models", "settings"}
    assert nightly["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    (schedule,) = deployments(server)["daily"]["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 6 * * *", "Europe/London")


def test_the_doctor_finds_all_well(server: Any) -> None:
    done = server.run("python", "-m", "deployments.doctor")
    assert done.returncode == 0, done.stdout
    assert "LOOK" not in done.stdout
    assert "next run" in done.stdout


def test_the_flow_by_hand_finds_the_running_server(server: Any) -> None:
    done = server.run("python", "flows/train.py")
    assert done.returncode == 0, done.stdout
    assert "temporary" not in done.stdout
    assert f"View at http://127.0.0.1:{server.port}/runs" in done.stdout
    assert len(server.history()) >= 2


def test_a_laptop_does_not_train_beside_the_worker(server: Any) -> None:
    done = server.run("python", "-m", "deployments.serve")
    assert done.returncode == 2, done.stdout
    assert "two owners would train twice a night" in done.stdout
    assert "laptop" not in deployments(server)


def test_the_clock_starts_a_run(server: Any, wait_for: Any) -> None:
    plan = server.root / "prefect.yaml"
    text = plan.read_text()
    assert TWO_AT_NIGHT in text
    plan.write_text(text.replace(TWO_AT_NIGHT, 'cron: "* * * * *"'))
    try:
        done = server.run("prefect", "--no-prompt", "deploy", "--all")
        assert done.returncode == 0, done.stdout
        soon = (datetime.now(UTC) + timedelta(minutes=5)).isoformat()

        def minutely() -> list[Any]:
            return [run for run in runs(server, "nightly", by_clock=True) if run["expected_start_time"] < soon]

        wait_for(minutely, 30)
        wait_for(lambda: any(run["state_type"] == "COMPLETED" for run in minutely()), 200)
    finally:
        plan.write_text(text)


@pytest.fixture
def laptop(server: Any) -> Iterator[Any]:
    """The laptop's server process, after the worker's deployment is gone."""
    gone = server.run("prefect", "--no-prompt", "deployment", "delete", "train/nightly")
    assert gone.returncode == 0, gone.stdout
    process = server.start("python", "-m", "deployments.serve")
    yield process
    process.kill()
    process.wait()


def test_the_laptop_keeps_the_same_plan_in_one_process(server: Any, laptop: Any, wait_for: Any) -> None:
    wait_for(lambda: "laptop" in deployments(server) or laptop.poll() is not None, 60)
    assert laptop.poll() is None, server.said(laptop)
    (schedule,) = deployments(server)["laptop"]["schedules"]
    assert (schedule["schedule"]["cron"], schedule["schedule"]["timezone"]) == ("0 2 * * *", "Europe/London")
    assert "nightly" not in deployments(server)
    laptop.send_signal(signal.SIGINT)
    laptop.wait(30)
