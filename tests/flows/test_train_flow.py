"""The flow ``train`` on the simulated cells: what it leaves, and what it skips."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from battery_core.files import read_json

QUICK: dict[str, Any] = {"models": ["lgbm", "mlp"], "trainer.epochs": 4, "lgbm.n_estimators": 40}


FlowRun = Any
"""What ``tell`` of conftest.py gives."""
Run = Callable[..., FlowRun]


@pytest.fixture(scope="module")
def run(orchestrator: None, project: Path, tell: Callable[[Any], FlowRun]) -> Run:
    """Run the flow with quick settings; extra ones win."""
    from flows.train import train

    def once(**given: Any) -> FlowRun:
        return tell(train(settings={**QUICK, **given}, return_state=True))

    return once


@pytest.fixture(scope="module")
def uncommitted(project: Path) -> Iterator[None]:
    """A checkout in which someone has changed code since the last commit."""
    from battery_core.release import provenance

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(["git", "-C", str(project), *identity, *arguments], check=True, capture_output=True)

    code = project / "tasks" / "data.py"
    code.parent.mkdir()
    code.write_text("# as committed\n")
    git("init", "--quiet")
    git("add", "tasks", "params.yaml")
    git("commit", "--quiet", "-m", "state")
    code.write_text("# changed since\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "REPOSITORY", project)
        yield


@pytest.fixture(scope="module")
def first(run: Run, uncommitted: None) -> FlowRun:
    return run()


@pytest.fixture(scope="module")
def second(run: Run, first: FlowRun) -> FlowRun:
    return run(**{"release.allow_dirty": True})


def versions(project: Path) -> list[Any]:
    """Versions of the model in the registry of the project, oldest first."""
    from battery_core.release.model_registry import mlflow_client

    client = mlflow_client(f"sqlite:///{project / 'artifacts' / 'mlflow.db'}")
    return sorted(client.search_model_versions("name='soh-simulated'"), key=lambda version: int(version.version))


def test_a_run_is_named_after_its_source_and_completes(first: FlowRun) -> None:
    assert first.state.is_completed(), first.state
    assert first.name.startswith("simulated-20")
    names = Counter(task.name.split()[0] for task in first.tasks)
    once = (
        "open", "fetch", "normalize", "split", "snapshot", "data",
        "ensemble", "evaluate", "select", "report", "compare", "promote",
    )  # fmt: skip
    assert names == {"train": 2, **dict.fromkeys(once, 1)}
    assert {task.state.type.value for task in first.tasks} == {"COMPLETED"}


def test_its_report_holds_models_beside_baselines(first: FlowRun, project: Path) -> None:
    report = read_json(first.result.report / "report.json")
    assert first.result.report.parent == project / "artifacts" / "reports"
    assert first.result.report.name.startswith(f"{first.name}-")
    assert {model["model"] for model in report["models"]} == {"lgbm", "mlp", "ensemble"}
    assert {"train_mean", "linear_throughput", "persistence"} <= set(report["baselines"])
    assert report["simulated"] is True
    assert report["leak_probe"]
    pictures = ("parity.png", "fade.png", "data-fade.png", "data-drift.png")
    assert all((first.result.report / name).stat().st_size > 5000 for name in pictures)
    assert report["drift"][0]["ks"] >= report["drift"][-1]["ks"]


def test_its_model_version_says_where_it_comes_from(first: FlowRun, project: Path) -> None:
    from battery_core.data.versioning.content import content_version

    version = versions(project)[0]
    head = subprocess.run(["git", "-C", str(project), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert version.tags["data_version"] == content_version(project / "data" / "raw" / "simulated")
    assert version.tags["git_commit"] == head.strip()
    assert version.tags["git_dirty"] == "True"
    assert version.tags["source"] == "simulated"
    assert version.tags["simulated"] == "True"
    assert version.tags["flow_run"] == first.name


def test_its_run_page_shows_tables_pictures_and_the_decision(first: FlowRun) -> None:
    kinds = {key: page.type for key, page in first.artifacts.items()}
    assert kinds == {
        "models-simulated": "table",
        "conditions-simulated": "table",
        "parity-simulated": "image",
        "fade-simulated": "image",
        "data-simulated": "markdown",
        **{f"data-{name}-simulated": "image" for name in ("fade", "spacing", "drift", "quarantine")},
        "decision-simulated": "markdown",
        "data-changes-simulated": "markdown",
        "report-simulated": "markdown",
        "quarantine-simulated": "markdown",
    }
    assert first.artifacts["parity-simulated"].data.startswith("data:image/png;base64,")
    assert first.result.mlflow_run in first.artifacts["decision-simulated"].data
    assert "leak_probe" in first.artifacts["models-simulated"].data


def test_its_tags_find_runs_of_a_source_a_commit_and_a_data_version(first: FlowRun, project: Path) -> None:
    version = versions(project)[0]
    commit, data = version.tags["git_commit"][:10], version.tags["data_version"][:12]
    assert set(first.tags) >= {"source:simulated", f"commit:{commit}-dirty", f"data:{data}"}


def test_uncommitted_code_is_registered_but_does_not_serve(first: FlowRun) -> None:
    assert first.result.promoted is False
    assert "not committed" in first.result.reason or "uncommitted" in first.result.reason
    assert first.result.champion is None
    assert first.said("uncommitted changes in tasks/data.py")


def test_it_serves_when_that_is_allowed(second: FlowRun) -> None:
    assert second.result.promoted is True
    assert second.result.champion == 2


def test_a_second_run_skips_what_stands_and_says_so(second: FlowRun, project: Path) -> None:
    assert second.state.is_completed(), second.state
    assert second.said("fetch:", "skipped")
    assert second.said("normalize:", "raw data unchanged, skipped")
    assert second.said("split:", "unchanged, skipped")
    assert len([line for line in second.logs if "not trained again" in line]) == 2
    assert [int(version.version) for version in versions(project)][:2] == [1, 2]
    assert len(second.tasks) == 14  # all of them, although nothing was left to do


def test_its_data_can_be_restored_and_what_is_new_is_in_its_report(
    first: FlowRun, second: FlowRun, project: Path
) -> None:
    from battery_core.data.versioning.store import VersionStore

    tags = versions(project)[1].tags
    store = VersionStore(project)
    assert [store.missing(tags[part]) for part in ("data_version", "tables_md5", "split_md5")] == [[], [], []]
    assert tags["split_file"] == "simulated.json"
    report = read_json(first.result.report / "report.json")
    assert len(report["news"]["changes"]["new_cells"]) == 36
    report = read_json(second.result.report / "report.json")
    assert report["news"]["since"] == "models:/soh-simulated/1"
    assert report["news"]["changes"]["new_cells"] == []
    assert second.said("data changes:", "the check-ups are the same")


def test_with_nothing_new_it_is_not_trained(run: Run, second: FlowRun, project: Path) -> None:
    before = len(versions(project))
    idle = run(**{"release.allow_dirty": True, "release.retrain_only_if_new": True})
    assert idle.state.is_completed(), idle.state
    assert idle.state.name == "NoNewData"
    assert "nothing new since soh-simulated version 2" in idle.state.message
    assert idle.state.message.endswith("not trained")
    assert "no-new-data" in idle.tags
    assert "nothing new" in idle.artifacts["data-changes-simulated"].data
    assert not [task for task in idle.tasks if task.name.split()[0] in ("train", "ensemble", "evaluate", "promote")]
    assert len(versions(project)) == before
