"""What tests of all rooms share."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.artifacts import StageResult
from battery_core.data.sources.charge_statistics.reader import COLUMNS
from battery_core.data.splits.cell_split import CellSplit
from battery_core.predictors.pipeline import Pipeline
from battery_core.settings import Settings, resolve
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import PIPELINE_FOLDER

XJTU_CELLS = tuple(f"{group}_battery-{i}" for group in ("2C", "3C") for i in (1, 2, 3, 4, 5, 8))
"""Twelve cells in two groups; the published rule makes those with a 4 or an 8 in their name test cells."""


def pytest_configure() -> None:
    """One processor thread, as a training job has: in steps this small, threads on a busy machine only wait."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch and LightGBM read it when they are imported


@pytest.fixture(scope="session")
def reference_root() -> Path:
    """Folder of measured reference data; tests that need it are skipped where it is not there."""
    root = os.environ.get("BATTERY__DATA__REFERENCE_ROOT")
    if not root:
        pytest.skip("no reference data: BATTERY__DATA__REFERENCE_ROOT is not set")
    folder = Path(root)
    if not folder.is_dir():
        pytest.skip(f"no reference data: folder {folder} (BATTERY__DATA__REFERENCE_ROOT) is missing")
    return folder


def cell_file(file: Path, rows: int, seed: int, nominal_Ah: float = 2.0) -> Path:
    """One cell as the public sets have it: it fades along its charge statistics, with noise."""
    generator = np.random.default_rng(seed)
    life = np.arange(rows) * generator.uniform(0.8, 1.2)
    table = {name: 1.0 + 0.1 * j + 0.002 * (j + 1) * life for j, name in enumerate(COLUMNS)}
    table = {name: values + generator.normal(0, 0.003, rows) for name, values in table.items()}
    table["capacity"] = nominal_Ah * (0.98 - 0.006 * life + generator.normal(0, 0.001, rows))
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).round(6).to_csv(file, index=False)
    return file


@pytest.fixture(scope="session")
def write_xjtu() -> Callable[..., Path]:
    """Writes small cells in the public XJTU layout below a root and gives the root."""

    def write(root: Path, cells: tuple[str, ...] = XJTU_CELLS, rows: int = 12) -> Path:
        for seed, cell in enumerate(cells):
            cell_file(root / "pinn4soh" / "XJTU data" / f"{cell}.csv", rows, seed)
        return root

    return write


@pytest.fixture(scope="session")
def synthetic_cell() -> ModuleType:
    """The module that cycles a synthetic cell: open-circuit voltage, a resistance and fade, all known."""
    spec = importlib.util.spec_from_file_location("synthetic_cell", Path(__file__).with_name("synthetic_cell.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor a params.yaml of the machine plays a part."""
    for name in [name for name in os.environ if name.upper().startswith("BATTERY_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def project(no_settings_around: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder that every entry takes for its own."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "params.yaml").write_text("")
    monkeypatch.setenv("BATTERY_ROOT", str(folder))
    return folder


@pytest.fixture(scope="session")
def xjtu_settings() -> Callable[..., Settings]:
    """Settings on small XJTU cells, with absolute folders below ``folder``: nothing else plays a part."""

    def make(folder: Path, reference: Path, **changes: Any) -> Settings:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "params.yaml").write_text("")
        quick = {
            "trainer.epochs": 4, "trainer.progress": False, "trainer.device": "cpu", "trainer.use_amp": False,
            "mlp.hidden_dims": (8,), "lstm.hidden_dim": 4, "lstm.head_dims": (8,),
            "neural_ode.latent_dim": 4, "neural_ode.head_dims": (8,),
            "lgbm.n_estimators": 20, "lgbm.min_child_samples": 3, "lgbm.num_threads": 1,
            "ensemble.enabled": False,
        }  # fmt: skip
        where = {f"paths.{name}": folder / name for name in ("data", "splits", "artifacts")}
        named = {name.replace("__", "."): value for name, value in changes.items()}
        with pytest.MonkeyPatch.context() as patch:
            for name in [name for name in os.environ if name.upper().startswith("BATTERY_")]:
                patch.delenv(name)
            patch.setenv("BATTERY_ROOT", str(folder))
            return resolve({"data.source": "xjtu", "data.reference_root": reference, **quick, **where, **named})

    return make


@dataclass(frozen=True)
class Prepared:
    """Small XJTU cells that went through fetch, normalize and split."""

    settings: Settings
    raw: StageResult
    tables: StageResult
    split: StageResult


@pytest.fixture(scope="session")
def prepared(
    tmp_path_factory: pytest.TempPathFactory, write_xjtu: Callable[..., Path], xjtu_settings: Callable[..., Settings]
) -> Prepared:
    """Made once; tests that change files copy them first."""
    from battery_core.stages.data.fetch import fetch
    from battery_core.stages.data.normalize import normalize
    from battery_core.stages.data.split import split

    folder = tmp_path_factory.mktemp("prepared")
    settings = xjtu_settings(folder, write_xjtu(folder / "reference"))
    raw = fetch(settings)
    tables = normalize(settings, raw)
    return Prepared(settings, raw, tables, split(settings, tables))


@pytest.fixture(scope="session")
def trained(prepared: Prepared) -> list[dict[str, Any]]:
    """Results of one lgbm and one mlp job on the prepared cells, trained in this process."""
    from battery_core.files import write_json
    from battery_core.jobs import RESULT_FILE, finished
    from battery_core.stages.training.job_specs import job_specs
    from battery_core.stages.training.train import train

    for spec in (specs := job_specs(prepared.settings, prepared.tables, prepared.split)):
        write_json(spec.folder / RESULT_FILE, train(spec) | {"key": spec.key, "run_id": spec.run_id})
    return [(finished(spec) or {}) | {"reused": False} for spec in specs]


@pytest.fixture(scope="session")
def evaluate_run() -> Callable[..., StageResult]:
    """Runs the stages from the results of training jobs to the challenger; gives report.json."""
    from battery_core.stages.evaluation.evaluate import evaluate
    from battery_core.stages.evaluation.report import report
    from battery_core.stages.evaluation.select import select
    from battery_core.stages.training.ensemble import ensemble

    def run(
        settings: Settings,
        tables: StageResult,
        split: StageResult,
        results: list[dict[str, Any]],
        folder: Path,
        with_page: bool = False,
    ) -> StageResult:
        candidates = ensemble(settings, tables, split, results, folder)
        selection = select(evaluate(settings, tables, split, candidates))
        if with_page:
            report(settings, tables, split, selection)
        return selection

    return run


@pytest.fixture(scope="session")
def release_run() -> Callable[..., Any]:
    """Draws the report, compares with the champion and promotes; gives what the run came to."""
    from battery_core.stages.evaluation.report import report
    from battery_core.stages.release.compare import compare
    from battery_core.stages.release.promote import promote

    def run(settings: Settings, tables: StageResult, split: StageResult, selection: StageResult, name: str) -> Any:
        report(settings, tables, split, selection)
        return promote(settings, tables, split, compare(settings, tables, split, selection), name)

    return run


@pytest.fixture(scope="session")
def _template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One empty MLflow store for all tests: creating it takes seconds, copying it none."""
    from battery_core.tracking.mlflow_tracker import ensure_store

    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    ensure_store(f"sqlite:///{file}")
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return file


@pytest.fixture(scope="session")
def new_store(_template: Path) -> Callable[[Path], str]:
    """Puts a fresh store into a folder and gives its URI."""

    def make(folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(_template, folder / "mlflow.db")
        return f"sqlite:///{folder / 'mlflow.db'}"

    return make


@pytest.fixture(scope="session")
def predict_in_process() -> Callable[..., Any]:
    """Stands for ``predict_isolated``: the packed weights with the code of this checkout, in this process."""
    from battery_core.predictors.weighted_ensemble import load_predictor
    from battery_core.release.champion_scoring import PackagePredictions

    def predict(package: Path, rows: pd.DataFrame, label: str, timeout_s: float) -> PackagePredictions:
        model = load_predictor(package / "artifacts" / "pipeline")
        return PackagePredictions(model.model_name, model.metadata, model.predict_interval(rows, details=True))

    return predict


@pytest.fixture
def labelled(prepared) -> pd.DataFrame:
    split = CellSplit.from_json(prepared.split.path.read_text())
    return labelled_rows(prepared.tables.path, split, "nominal")


@pytest.fixture
def train_rows(labelled: pd.DataFrame) -> pd.DataFrame:
    return labelled[labelled["subset"] == "train"]


@pytest.fixture
def test_rows(labelled: pd.DataFrame) -> pd.DataFrame:
    return labelled[labelled["subset"] == "test"].reset_index(drop=True)


@pytest.fixture
def pipelines(prepared, trained: list[dict[str, Any]]) -> dict[str, Pipeline]:
    """The trained models of feature vectors, by name."""
    runs = prepared.settings.folder("artifacts") / "runs"
    return {r["model"]: Pipeline.load(runs / r["run_id"] / PIPELINE_FOLDER) for r in trained}
