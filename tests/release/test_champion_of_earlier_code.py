"""A champion packed by commit 5d3e0de predicts, is compared, and can be rolled back to.

``fixtures/champion_5d3e0de.zip`` was made by the code of that commit: its stages fetch to release, run on the small
XJTU cells of ``tests/conftest.py`` (synthetic; models lgbm, mlp and kernel, 4 trees, 1 epoch, 8 landmarks, so that the
champion is the "blend"). It holds the package as MLflow logged it, the tags of the registry (``registry.json``), the
test rows, and the predictions of that code. Only the machine's folders in ``MLmodel`` were replaced by ``/project``.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from rich.console import Console

from battery_core.predictors.pipeline import Pipeline
from battery_core.release.champion_scoring import PackagePredictions, predict_isolated
from battery_core.release.comparison import build_comparison
from battery_core.release.model_registry import ModelRegistry, Version
from battery_core.release.package.mlflow_model import log_pipeline
from battery_core.release.promotion import decide
from battery_core.release.settings import ReleaseSettings
from battery_core.release.wire_format import CHALLENGER, CHAMPION, MODEL_TAG, PREVIOUS, RETRAIN_KEY_TAG
from battery_core.settings import Settings
from battery_core.stages.release.rollback import history, rollback
from battery_core.stages.training.candidate import PIPELINE_FOLDER

FIXTURE = Path(__file__).with_name("fixtures") / "champion_5d3e0de.zip"
NAME = "soh-xjtu"


@dataclass(frozen=True)
class EarlierRegistry:
    """A registry with the earlier champion as version 1, and what its own code predicted."""

    settings: Settings
    registry: ModelRegistry
    champion: Version
    rows: pd.DataFrame
    expected: pd.DataFrame


def register(client: MlflowClient, package: Path, tags: dict[str, Any], folder: Path) -> None:
    """Register a package as the earlier code did: a logged model, its tags, both aliases and one promotion event."""
    experiment = client.create_experiment("earlier", artifact_location=folder.as_uri())
    run = client.create_run(experiment)
    logged = client.create_logged_model(experiment, name="soh", source_run_id=run.info.run_id)
    client.log_model_artifacts(logged.model_id, str(package))
    client.finalize_logged_model(logged.model_id, "READY")
    client.create_registered_model(NAME)
    client.create_model_version(
        NAME, f"models:/{logged.model_id}", run.info.run_id, tags=tags["version_tags"], description=tags["description"]
    )
    for alias in tags["aliases"]:
        client.set_registered_model_alias(NAME, alias, "1")
    for key, value in tags["registered_model_tags"].items():
        client.set_registered_model_tag(NAME, key, value)


@pytest.fixture
def earlier(tmp_path: Path, new_store: Any, prepared: Any) -> EarlierRegistry:
    with zipfile.ZipFile(FIXTURE) as archive:
        archive.extractall(tmp_path / "fixture")
    fixture = tmp_path / "fixture"
    uri = new_store(tmp_path)
    registry = ModelRegistry(uri, NAME)
    content = json.loads((fixture / "registry.json").read_text())
    register(MlflowClient(uri, uri), fixture / "package", content, tmp_path / "artifacts")
    settings = prepared.settings.model_copy(
        update={"tracking": prepared.settings.tracking.model_copy(update={"mlflow_uri": uri})}
    )
    champion = registry.version_by_alias(CHAMPION)
    assert champion is not None
    tables = [pd.read_csv(fixture / name) for name in ("rows.csv", "predictions.csv")]
    return EarlierRegistry(settings, registry, champion, *tables)


def champion_predictions(earlier: EarlierRegistry, rows: pd.DataFrame) -> PackagePredictions:
    return predict_isolated(earlier.registry.package(earlier.champion), rows, "version 1", 300)


def promote_challenger(earlier: EarlierRegistry, run_id: str, reason: str, folder: Path) -> Version:
    home = earlier.settings.folder("artifacts") / "runs" / run_id / PIPELINE_FOLDER
    experiment = mlflow.create_experiment("current", artifact_location=(folder / "current").as_uri())
    with mlflow.start_run(experiment_id=experiment) as run:
        version = earlier.registry.add(log_pipeline(home), run.info.run_id, {MODEL_TAG: "lgbm"}, reason)
    earlier.registry.promote(version, reason)
    return version


def printed_history(settings: Settings) -> str:
    console = Console(width=300, file=io.StringIO())
    console.print(history(settings))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_it_predicts_is_compared_and_can_be_rolled_back_to(
    earlier: EarlierRegistry, labelled: pd.DataFrame, trained: list[Any], tmp_path: Path
) -> None:
    assert (earlier.champion.number, earlier.champion.tags["model"]) == (1, "blend")
    assert earlier.champion.tags[RETRAIN_KEY_TAG]
    rows = pd.concat([labelled[labelled["subset"] != "test"], earlier.rows.assign(subset="test")], ignore_index=True)
    predictions = champion_predictions(earlier, test := rows[rows["subset"] == "test"])
    assert predictions.model_name == "blend"
    recorded = earlier.expected.set_index(test.index)
    pd.testing.assert_frame_equal(
        predictions.estimates.drop(columns="outside"), recorded.drop(columns="outside"), rtol=0, atol=1e-6
    )
    assert (predictions.estimates["outside"] == recorded["outside"].fillna("")).all()

    run_id = next(getattr(r, "run_id", None) or r["run_id"] for r in trained)
    challenger = Pipeline.load(earlier.settings.folder("artifacts") / "runs" / run_id / PIPELINE_FOLDER)
    inputs = build_comparison(challenger, predictions, "version 1", rows, "nominal", dirty=False)
    assert (inputs.unseen_cells, inputs.test_cells, inputs.blocking_reason) == (4, 4, "")
    assert inputs.champion is not None
    error = sum(inputs.champion.values()) / len(inputs.champion)
    assert error == pytest.approx(float(earlier.champion.tags["test_mean_cell_mape"]), abs=1e-4)
    decision = decide(inputs, ReleaseSettings(confidence=0.5, required_baselines=()))
    assert decision.promote, decision.reason
    assert "below version 1 (1.49 %)" in decision.reason

    version = promote_challenger(earlier, run_id, decision.reason, tmp_path)
    aliases = {alias: earlier.registry.version_by_alias(alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS)}
    assert {alias: entry and entry.number for alias, entry in aliases.items()} == {
        CHAMPION: version.number, CHALLENGER: version.number, PREVIOUS: 1,
    }  # fmt: skip
    rollback(earlier.settings, "customers complain")
    champion = earlier.registry.version_by_alias(CHAMPION)
    assert champion == earlier.champion
    assert [(e.version, e.previous, e.trigger) for e in earlier.registry.promotion_events()] == [
        (1, None, "night"), (2, 1, "night"), (1, 2, "rollback"),
    ]  # fmt: skip
    printed = printed_history(earlier.settings)
    for words in ("first champion: 1.49 % on 4 test cells", "below version 1", "customers complain", "1 *"):
        assert words in printed
