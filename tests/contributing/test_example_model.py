"""A new model is one module and one entry: a copy of the project that has both trains and packs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import battery_core

MODULE = Path(__file__).with_name("example_model.py")
ENTRY = """
        ModelSpec(
            "ridge",
            "ridge regression",
            regressor="battery_core.models.ridge:RidgeModel",
            settings="battery_core.models.ridge:RidgeSettings",
            takes_history_features=True,
        ),
"""
LAST_ENTRY = """            requirements=("torch", "torchdiffeq"),
            takes_sequences=True,
        ),
"""

SCRIPT = """
import json, sys
from pathlib import Path
import mlflow
from battery_core.data.splits.cell_split import CellSplit
from battery_core.jobs import run_job
from battery_core.predictors.weighted_ensemble import load_predictor
from battery_core.release.package.mlflow_model import log_pipeline
from battery_core.settings import resolve
from battery_core.artifacts import StageResult
from battery_core.stages.training.candidate import PIPELINE_FOLDER
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.labelled_rows import labelled_rows

tables, split, store = sys.argv[1:]
settings = resolve({"data.source": "xjtu", "models": "ridge", "ridge.alpha": 0.1, "paths.artifacts": Path("artifacts")})
tables, split = StageResult(Path(tables), "1", False, ""), StageResult(Path(split), "2", False, "")
(spec,) = job_specs(settings, tables, split)
result = run_job(spec, timeout_s=300, log=lambda line: None)
rows = labelled_rows(tables.path, CellSplit.from_json(split.path.read_text()), "nominal")
rows = rows[rows["subset"] == "test"].reset_index(drop=True)
mlflow.set_tracking_uri(store)
experiment = mlflow.create_experiment("ridge", artifact_location=Path("mlflow").absolute().as_uri())
with mlflow.start_run(experiment_id=experiment):
    uri = log_pipeline(spec.folder / PIPELINE_FOLDER)
estimates = mlflow.pyfunc.load_model(uri).predict(rows)
print(json.dumps({
    "settings": spec.settings["ridge"],
    "result": result,
    "columns": list(estimates),
    "packed": estimates["soh"].tolist(),
    "direct": load_predictor(spec.folder / PIPELINE_FOLDER).predict(rows).tolist(),
}, default=str))
"""


@pytest.mark.slow
def test_a_module_and_an_entry_are_a_model_that_trains_and_packs(
    prepared: Any, new_store: Any, tmp_path: Path, no_settings_around: None
) -> None:
    package = Path(battery_core.__file__).parent
    copied = shutil.ignore_patterns("*.zip", "__pycache__")
    shutil.copytree(package, tmp_path / "battery_core", ignore=copied)
    shutil.copy(MODULE, tmp_path / "battery_core" / "models" / "ridge.py")
    registry = tmp_path / "battery_core" / "models" / "registry.py"
    text = registry.read_text()
    assert LAST_ENTRY in text
    registry.write_text(text.replace(LAST_ENTRY, LAST_ENTRY + ENTRY.lstrip("\n")))
    (tmp_path / "params.yaml").write_text("")
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "BATTERY_ROOT": str(tmp_path)}
    arguments = [str(prepared.tables.path), str(prepared.split.path), new_store(tmp_path / "store")]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout.splitlines()[-1])
    assert content["settings"] == {"alpha": 0.1}
    assert content["result"]["model"] == "ridge"
    assert content["result"]["val_mean_cell_mape"] < 5
    assert content["columns"] == ["soh", "soh_lower", "soh_upper", "in_distribution"]
    np.testing.assert_allclose(content["packed"], content["direct"], rtol=1e-9)
