"""The flows ``score`` and ``cross_validate`` on small cells: their tasks, their tags, and what is on the run page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from battery_core.errors import DataError
from battery_core.files import read_json, write_json
from battery_core.jobs import RESULT_FILE, JobSpec, finished
from battery_core.release.model_registry import ModelRegistry
from battery_core.release.package.mlflow_model import log_pipeline
from battery_core.settings import Settings


@pytest.fixture(scope="module")
def settings(prepared, new_store, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The prepared cells with a registry of their own."""
    uri = new_store(tmp_path_factory.mktemp("flows"))
    tracking = prepared.settings.tracking.model_copy(update={"mlflow_uri": uri})
    changed: Settings = prepared.settings.model_copy(update={"tracking": tracking})
    return changed


def given(settings: Settings, **changes: Any) -> dict[str, Any]:
    """Settings as a deployment gives them."""
    return {**settings.model_dump(mode="json"), **{name.replace("__", "."): value for name, value in changes.items()}}


def test_scoring_fails_in_words_until_a_model_serves_then_shows_every_cell(
    tell: Callable[[Any], Any], settings: Settings, trained: list[dict[str, Any]], tmp_path: Path
) -> None:
    import mlflow

    from flows.score import score

    state = score(settings=given(settings), return_state=True)
    with pytest.raises(DataError, match="models:/soh-xjtu@champion does not exist - train first"):
        state.result()

    registry = ModelRegistry(settings.tracking.mlflow_uri, "soh-xjtu")
    experiment = mlflow.create_experiment("flows", artifact_location=tmp_path.as_uri())
    with mlflow.start_run(experiment_id=experiment) as run:
        logged = log_pipeline(settings.folder("artifacts") / "runs" / trained[0]["run_id"] / "pipeline")
    registry.promote(registry.add(logged, run.info.run_id, {}, "first"), "first")
    state = score(settings=given(settings), return_state=True)
    scored = state.result()
    assert {file.name for file in scored.folder.iterdir()} == {"scores.parquet", "scores.json", "fade.png"}
    told = tell(state)
    pages = told.artifacts
    assert set(pages) >= {"scores-xjtu", "scores-fade-xjtu", "scores-flags-xjtu"}
    assert pages["scores-xjtu"].description == scored.message
    assert "model:soh-xjtu/1" in told.tags


def test_validation_trains_each_fold_once_and_goes_on_where_it_stopped(
    tell: Callable[[Any], Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from battery_core.stages.training.train import train
    from flows.cross_validate import cross_validate
    from tasks import training

    trained_now: list[str] = []

    def run_job(spec: JobSpec, *_: Any) -> dict[str, Any]:
        if standing := finished(spec):
            return standing | {"reused": True}
        trained_now.append(spec.run_id)
        result = train(spec)
        write_json(spec.folder / RESULT_FILE, result | {"key": spec.key, "run_id": spec.run_id})
        return result | {"reused": False}

    monkeypatch.setattr(training, "run_job", run_job)
    asked = given(settings, models=["lgbm"], cross_validation__folds=2)
    state = cross_validate(settings=asked, return_state=True)
    content = read_json(state.result().path)
    assert len(trained_now) == len(set(trained_now)) == content["folds"] == 2
    assert [line["model"] for line in content["models"]].count("lgbm") == 1
    assert "cross-validation-xjtu" in tell(state).artifacts
    cross_validate(settings=asked)
    assert len(trained_now) == 2
