"""The package in a real registry: found by alias, loaded elsewhere without pickle, equal predictions."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.splits.cell_split import CellSplit
from battery_core.predictors.pipeline import Pipeline
from battery_core.release.model_registry import ModelRegistry, Version
from battery_core.release.package.mlflow_model import log_pipeline, requirements, signature_of
from battery_core.release.wire_format import CHALLENGER, CHAMPION, PREVIOUS
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import PIPELINE_FOLDER, PREDICTIONS_FILE
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import train

ELSEWHERE = """
import json, sys
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1]); mlflow.set_registry_uri(sys.argv[1])
rows, answers = pd.read_parquet(sys.argv[2]), {}
for uri in sys.argv[3:]:
    model = mlflow.pyfunc.load_model(uri)
    answers[uri] = model.predict(rows)["soh"].tolist()
    try:
        model.predict(rows.drop(columns="voltage_mean_V"))
    except Exception as err:
        answers[uri + " error"] = str(err)
import battery_core
answers["code"] = battery_core.__file__
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Packed:
    """Two registered versions of one model: 1 is an lgbm, 2 an mlp."""

    uri: str
    registry: ModelRegistry
    versions: tuple[Version, Version]
    pipelines: tuple[Pipeline, Pipeline]
    rows: pd.DataFrame


@pytest.fixture(scope="module")
def packed(prepared, trained: list[dict[str, Any]], new_store, tmp_path_factory: pytest.TempPathFactory) -> Packed:
    import mlflow

    folder = tmp_path_factory.mktemp("registry")
    uri = new_store(folder)
    registry = ModelRegistry(uri, "soh-xjtu")
    experiment = mlflow.create_experiment("soh", artifact_location=(folder / "artifacts").as_uri())
    versions, pipelines = [], []
    for result in trained:
        home = prepared.settings.folder("artifacts") / "runs" / result["run_id"] / PIPELINE_FOLDER
        with mlflow.start_run(experiment_id=experiment) as run:
            logged = log_pipeline(home)
        versions.append(registry.add(logged, run.info.run_id, {"model": result["model"], "n": 3}, "because"))
        pipelines.append(Pipeline.load(home))
    split = CellSplit.from_json(prepared.split.path.read_text())
    rows = labelled_rows(prepared.tables.path, split, "nominal")
    rows = rows[rows["subset"] == "test"].reset_index(drop=True)
    return Packed(uri, registry, (versions[0], versions[1]), (pipelines[0], pipelines[1]), rows)


def test_versions_are_numbered_and_remember_why(packed: Packed) -> None:
    first, second = packed.versions
    assert (first.number, second.number, second.uri) == (1, 2, "models:/soh-xjtu/2")
    assert packed.registry.version_by_alias(CHALLENGER) == second  # the latest
    assert second.tags["model"] == "mlp"
    assert second.tags["n"] == "3"
    packed.registry.promote(first, "because")
    holder = packed.registry.version_by_alias(CHAMPION)
    assert holder is not None
    assert (holder.number, holder.tags["model"]) == (1, "lgbm")


def test_the_crown_goes_on_and_the_one_before_is_kept(packed: Packed, new_store, tmp_path: Path) -> None:
    first, second = packed.versions
    registry = packed.registry
    registry.promote(first, "because")
    registry.promote(second, "because")
    holders = [registry.version_by_alias(alias) for alias in (CHAMPION, PREVIOUS)]
    assert [holder.number for holder in holders if holder] == [2, 1]
    registry.promote(first, "because")
    holders = [registry.version_by_alias(alias) for alias in (CHAMPION, PREVIOUS)]
    assert [holder.number for holder in holders if holder] == [1, 2]


def test_nobody_holds_an_alias_that_was_never_given(packed: Packed) -> None:
    import mlflow

    assert packed.registry.version_by_alias("nobody") is None
    assert ModelRegistry(packed.uri, "soh-unheard-of").version_by_alias(CHAMPION) is None
    assert mlflow.get_tracking_uri() == packed.uri


def test_the_pipeline_comes_back_out_of_the_registry(packed: Packed) -> None:
    for version, pipeline in zip(packed.versions, packed.pipelines, strict=True):
        again = Pipeline.load(packed.registry.package(version) / "artifacts" / "pipeline")
        assert again.metadata == pipeline.metadata
        np.testing.assert_array_equal(again.predict(packed.rows), pipeline.predict(packed.rows))


def test_a_stranger_loads_it_by_alias_without_pickle_and_gets_equal_numbers(packed: Packed, tmp_path: Path) -> None:
    packed.registry.promote(packed.versions[0], "because")
    wanted = [column for column in packed.rows if column not in ("capacity_Ah", "soh", "subset")]
    packed.rows[wanted].to_parquet(tmp_path / "rows.parquet")
    uris = [f"models:/soh-xjtu@{CHAMPION}", f"models:/soh-xjtu@{CHALLENGER}"]
    (tmp_path / "elsewhere").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, packed.uri, str(tmp_path / "rows.parquet"), *uris],
        cwd=tmp_path / "elsewhere", env=os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    for uri, pipeline in zip(uris, packed.pipelines, strict=True):
        np.testing.assert_allclose(answers[uri], pipeline.predict(packed.rows), atol=1e-6, rtol=0)
        assert "voltage_mean_V" in answers[f"{uri} error"]
        assert "missing" in answers[f"{uri} error"].lower()
    assert "artifacts" in Path(answers["code"]).parts  # the code that travelled with the model, not this checkout
    assert "pickle" not in " ".join(file.name for file in tmp_path.parent.rglob("*.pkl"))


@pytest.mark.parametrize("model", ["lstm", "neural_ode"])
def test_a_model_of_histories_serves_the_rows_of_a_cell_in_any_order(
    packed: Packed, prepared, tmp_path: Path, model: str
) -> None:
    import mlflow

    settings = prepared.settings.model_copy(update={"models": (model,)})
    spec = dataclasses.replace(job_specs(settings, prepared.tables, prepared.split)[0], runs=str(tmp_path / "runs"))
    train(spec)
    experiment = mlflow.create_experiment(model, artifact_location=(tmp_path / "artifacts").as_uri())
    with mlflow.start_run(experiment_id=experiment):
        served = mlflow.pyfunc.load_model(log_pipeline(spec.folder / PIPELINE_FOLDER))
    shuffled = packed.rows.sample(frac=1, random_state=3)
    answer = served.predict(shuffled[[column.name for column in served.metadata.get_input_schema()]])
    scored = pd.read_parquet(spec.folder / PREDICTIONS_FILE).query("subset == 'test'")["prediction"].to_numpy()
    np.testing.assert_allclose(answer["soh"].reindex(packed.rows.index), scored, atol=1e-6, rtol=0)
    alone = served.predict(packed.rows.iloc[[-1]])["soh"]
    assert abs(alone.iloc[0] - scored[-1]) > 1e-6  # a late check-up: its history was read


def test_the_signature_has_units_in_its_names(packed: Packed) -> None:
    signature = signature_of(packed.pipelines[0])
    kinds = {column.name: column.type.name for column in signature.inputs.inputs}
    assert list(kinds) == list(packed.pipelines[0].raw_columns)
    assert {"cell_id": "string", "checkup_index": "long", "cc_charge_Ah": "double"}.items() <= kinds.items()
    assert not {"capacity_Ah", "soh"} & set(kinds)
    assert [column.name for column in signature.inputs.inputs if column.required] == ["cell_id", "checkup_index"]
    given = [(column.name, column.type.name) for column in signature.outputs.inputs]
    assert given == [(name, "double") for name in ("soh", "soh_lower", "soh_upper")] + [("in_distribution", "boolean")]


def test_the_package_gives_intervals_and_says_what_it_does_not_know(packed: Packed) -> None:
    import mlflow

    served, pipeline = mlflow.pyfunc.load_model(packed.versions[1].uri), packed.pipelines[1]
    wanted = list(pipeline.raw_columns)
    odd = packed.rows[wanted].copy()
    odd.loc[odd.index[0], "cc_time_s"] *= 20
    answer = served.predict(odd, params={"details": True})
    assert list(answer) == ["soh", "soh_lower", "soh_upper", "in_distribution", "soh_spread", "outside"]
    assert pipeline.conformal is not None
    lower, upper = pipeline.conformal.bounds(answer["soh"])
    np.testing.assert_allclose(answer["soh_lower"], lower, rtol=0, atol=1e-9)
    np.testing.assert_allclose(answer["soh_upper"], upper, rtol=0, atol=1e-9)
    assert not answer["in_distribution"].iloc[0]
    assert answer["outside"].iloc[0] == "cc_time_s"
    plain = served.predict(packed.rows[wanted])
    assert list(plain) == ["soh", "soh_lower", "soh_upper", "in_distribution"]
    np.testing.assert_allclose(plain["soh"], pipeline.predict(packed.rows), rtol=0, atol=1e-9)


def test_a_large_table_goes_in_pieces_of_whole_cells(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    for pipeline in packed.pipelines:
        whole = pipeline.predict(packed.rows)
        with monkeypatch.context() as patch:
            patch.setattr("battery_core.predictors.pipeline._ROWS_AT_ONCE", 5)  # a cell has 12
            np.testing.assert_allclose(pipeline.predict(packed.rows), whole, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"cc_charge_mAh": "cc_charge_Ah"},
            r"missing columns \['cc_charge_Ah'\].*'cc_charge_Ah' in Ah \(from mAh: mul",
        ),
        ({}, r"column 'cc_charge_Ah' has the median .* it seems to be in mAh - multiply by 0.001"),
    ],
)
def test_another_unit_is_refused_in_one_line(packed: Packed, change: dict[str, str], words: str) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException

    served = mlflow.pyfunc.load_model(packed.versions[0].uri)
    rows = packed.rows[list(packed.pipelines[0].raw_columns)]
    rows = rows.assign(cc_charge_Ah=rows["cc_charge_Ah"] * 1000).rename(columns={v: k for k, v in change.items()})
    with pytest.raises(MlflowException, match=words) as caught:
        served.predict(rows)
    assert caught.value.get_http_status_code() == 400
    assert "\n" not in caught.value.message


def test_names_of_conditions_are_text_in_the_signature(packed: Packed) -> None:
    import dataclasses

    columns = ("cell_id", "checkup_index", "group", "time_days")
    features = dataclasses.replace(packed.pipelines[0].feature_pipeline, raw_columns=columns)
    pipeline = dataclasses.replace(packed.pipelines[0], feature_pipeline=features)
    kinds = {column.name: column.type.name for column in signature_of(pipeline).inputs.inputs}
    assert (kinds["group"], kinds["time_days"]) == ("string", "double")


def test_a_missing_column_is_named_also_without_mlflow(packed: Packed) -> None:
    from battery_core.errors import DataError

    with pytest.raises(DataError, match=r"prediction with 'lgbm': missing columns \['cc_time_s'\]; found .*cell_id"):
        packed.pipelines[0].predict(packed.rows.drop(columns="cc_time_s"))


def test_what_a_model_needs_is_pinned(packed: Packed) -> None:
    for model, own in (("lgbm", "lightgbm"), ("mlp", "torch"), ("lstm", "torch"), ("neural_ode", "torchdiffeq")):
        lines = requirements(model)
        assert all("==" in line and "+" not in line for line in lines)
        assert own in [line.split("==")[0] for line in lines]


def test_a_version_whose_files_are_gone_says_what_to_do(packed: Packed) -> None:
    from battery_core.errors import DataError

    files = Path(packed.uri.removeprefix("sqlite:///")).parent / "artifacts"
    files.rename(files.with_name("gone"))
    try:
        with pytest.raises(DataError, match=r"model 'soh-xjtu' version 1: its files are gone .* alias") as caught:
            packed.registry.package(packed.versions[0])
    finally:
        files.with_name("gone").rename(files)
    assert "\n" not in str(caught.value)
