"""The package where nothing of this repository is installed: a fresh environment with its requirements alone."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.splits.cell_split import CellSplit
from battery_core.predictors.pipeline import Pipeline
from battery_core.release.model_registry import ModelRegistry
from battery_core.release.package.mlflow_model import log_pipeline, requirements
from battery_core.release.wire_format import CHALLENGER, CHAMPION
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import PIPELINE_FOLDER

pytestmark = pytest.mark.e2e
NAME = "soh-xjtu"
STRANGER = """
import importlib.util, json, sys
assert not [name for name in ("prefect", "dvc", "battery_core") if importlib.util.find_spec(name)]
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
print(model.predict(pd.read_parquet(sys.argv[3])).to_json(orient="split"))
assert not [name for name in sys.modules if name.split(".")[0] in ("prefect", "dvc")]
"""


@dataclass(frozen=True)
class Elsewhere:
    """A registry with an lgbm as champion and an mlp as challenger, rows to score, an environment of its own."""

    uri: str
    python: Path
    folder: Path
    rows: pd.DataFrame
    pipelines: dict[str, Pipeline]

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.upper().startswith(("BATTERY", "PYTHON", "MLFLOW"))}
        bin_first = f"{self.python.parent}{os.pathsep}{kept['PATH']}"
        ours = {"MLFLOW_TRACKING_URI": self.uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
        return kept | ours | {"PATH": bin_first, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}


@pytest.fixture(scope="module")
def elsewhere(
    prepared, trained: list[dict[str, Any]], new_store: Callable[[Path], str], tmp_path_factory: pytest.TempPathFactory
) -> Elsewhere:
    import mlflow

    folder = tmp_path_factory.mktemp("elsewhere")
    registry = ModelRegistry(uri := new_store(folder), NAME)
    experiment = mlflow.create_experiment("soh", artifact_location=(folder / "artifacts").as_uri())
    pipelines = {}
    for alias, result in zip((CHAMPION, CHALLENGER), trained, strict=True):
        home = prepared.settings.folder("artifacts") / "runs" / result["run_id"] / PIPELINE_FOLDER
        with mlflow.start_run(experiment_id=experiment) as run:
            version = registry.add(log_pipeline(home), run.info.run_id, {"model": result["model"]}, "because")
        if alias == CHAMPION:
            registry.promote(version, "because")
        pipelines[alias] = Pipeline.load(home)
    rows = labelled_rows(prepared.tables.path, CellSplit.from_json(prepared.split.path.read_text()), "nominal")
    rows = rows[rows["subset"] == "test"][list(pipelines[CHAMPION].raw_columns)].reset_index(drop=True)
    rows.to_parquet(folder / "rows.parquet")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    needed = sorted({line for pipeline in pipelines.values() for line in requirements(pipeline.model_name)})
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *needed], check=True, timeout=1800)
    return Elsewhere(uri, python, folder, rows, pipelines)


@pytest.mark.parametrize("alias", [CHAMPION, CHALLENGER])
def test_a_stranger_gets_the_numbers_of_the_training_process(elsewhere: Elsewhere, alias: str) -> None:
    done = subprocess.run(
        [elsewhere.python, "-c", STRANGER, elsewhere.uri, f"models:/{NAME}@{alias}", elsewhere.folder / "rows.parquet"],
        cwd=elsewhere.folder, env=elsewhere.environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    content = json.loads(done.stdout.splitlines()[-1])
    expected = elsewhere.pipelines[alias].predict_interval(elsewhere.rows)
    assert content["columns"] == list(expected)
    np.testing.assert_allclose(np.array(content["data"], float), expected.astype(float), rtol=0, atol=1e-6)


@pytest.fixture
def server(elsewhere: Elsewhere) -> Iterator[str]:
    """``mlflow models serve`` on a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        "mlflow",
        "models",
        "serve",
        "-m",
        f"models:/{NAME}@{CHAMPION}",
        "-p",
        str(port),
        "--env-manager",
        "local",
    ]
    log = (elsewhere.folder / "serve.log").open("w")
    process = subprocess.Popen(
        [elsewhere.python.parent / command[0], *command[1:]], cwd=elsewhere.folder, env=elsewhere.environment,
        stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        for _ in range(240):
            assert process.poll() is None, Path(log.name).read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=2):
                    break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)
        log.close()


def asked(url: str, rows: pd.DataFrame) -> tuple[int, dict[str, Any]]:
    """Status and answer of the server."""
    body = json.dumps({"dataframe_split": json.loads(rows.to_json(orient="split", index=False))}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as err:
        return err.code, json.loads(err.read())


def test_it_answers_over_http_and_refuses_in_words(elsewhere: Elsewhere, server: str) -> None:
    status, answer = asked(server, elsewhere.rows)
    expected = elsewhere.pipelines[CHAMPION].predict_interval(elsewhere.rows)
    given = pd.DataFrame(answer["predictions"])
    assert (status, list(given)) == (200, list(expected))
    np.testing.assert_allclose(given.astype(float), expected.astype(float), rtol=0, atol=1e-6)
    status, answer = asked(server, elsewhere.rows.rename(columns={"cc_charge_Ah": "cc_charge_mAh"}))
    assert status == 400
    assert "missing columns ['cc_charge_Ah']" in answer["message"]
    assert "'cc_charge_Ah' in Ah (from mAh: multiply by 0.001)" in answer["message"]
    status, answer = asked(server, elsewhere.rows.assign(cc_charge_Ah=elsewhere.rows["cc_charge_Ah"] * 1000))
    assert status == 400
    assert "it seems to be in mAh - multiply by 0.001" in answer["message"]
