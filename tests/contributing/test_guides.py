"""The example of each page in docs/contributing: extracted, registered, and used by a real training job or loader."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd

from battery_core.data.registries import SOURCES
from battery_core.features.base import build_features
from battery_core.features.registry import FEATURES
from battery_core.registry import Registry
from battery_core.settings import Settings
from battery_core.stages.common import read_table
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import train
from battery_core.training.losses.registry import LossRegistry

DOCS = Path(__file__).resolve().parents[2] / "docs" / "contributing"
MODEL = Path(__file__).with_name("example_model.py")


def example(page: str, name: str) -> str:
    """Return the code block behind the marker of the example."""
    text = (DOCS / page).read_text(encoding="utf-8")
    block = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block is not None, f"{page} has no example '{name}'"
    return block[1]


@contextmanager
def registered(page: str, name: str, folder: Path, registry: Registry[Any], attribute: str) -> Iterator[ModuleType]:
    """Write the example as a module and file its class in the registry, as the entry of the page would."""
    file = folder / f"{name}.py"
    file.write_text(example(page, name), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"example_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        registry._entries[name] = getattr(module, attribute)
        yield module
    finally:
        registry._entries.pop(name, None)
        del sys.modules[spec.name]


def trained(settings: Settings, prepared: Any) -> dict[str, Any]:
    """Return the result of the one training job of these settings."""
    (spec,) = job_specs(settings, prepared.tables, prepared.split)
    return train(spec)


def test_the_model_of_the_page_is_the_one_that_is_trained_and_packed() -> None:
    assert example("add-a-model.md", "ridge") == MODEL.read_text(encoding="utf-8")
    page = (DOCS / "add-a-model.md").read_text(encoding="utf-8")
    entry = re.search(r"<!-- entry: ridge -->\n```text\n(.*?)```", page, re.DOTALL)
    assert entry is not None
    test = MODEL.with_name("test_example_model.py").read_text(encoding="utf-8")
    assert entry[1].strip() in test


def test_the_loss_trains_a_perceptron(prepared: Any, xjtu_settings: Callable[..., Settings], tmp_path: Path) -> None:
    with registered("add-a-loss.md", "log_cosh", tmp_path, LossRegistry, "LogCoshLoss"):
        settings = xjtu_settings(
            tmp_path, tmp_path, models=("mlp",), loss__name="log_cosh", trainer__epochs=40, trainer__learning_rate=0.01
        )
        assert trained(settings, prepared)["val_mean_cell_mape"] < 3


def test_the_loss_equals_its_formula(tmp_path: Path) -> None:
    import torch

    with registered("add-a-loss.md", "log_cosh", tmp_path, LossRegistry, "LogCoshLoss"):
        errors = torch.tensor([[-100.0], [-0.5], [0.0], [2.0]], dtype=torch.float64, requires_grad=True)
        loss = LossRegistry.get("log_cosh", reduction="none")(errors, torch.zeros_like(errors))
        np.testing.assert_allclose(loss[1:].detach(), np.log(np.cosh([[-0.5], [0.0], [2.0]])), rtol=1e-12, atol=1e-15)
        loss.sum().backward()
        assert errors.grad is not None
        np.testing.assert_allclose(errors.grad, np.tanh([[-100.0], [-0.5], [0.0], [2.0]]), atol=1e-12)


def test_the_feature_set_trains_a_model_and_ignores_later_rows(
    prepared: Any, xjtu_settings: Callable[..., Settings], train_rows: pd.DataFrame, tmp_path: Path
) -> None:
    with registered("add-a-feature-set.md", "cv_fraction", tmp_path, FEATURES, "CVFractionFeatures"):
        settings = xjtu_settings(tmp_path, tmp_path, models=("lgbm",), features__sets=("charge", "cv_fraction"))
        assert "cv_fraction" in trained(settings, prepared)["features"]
        earlier = train_rows["checkup_index"] < 6
        assert build_features(train_rows, ["cv_fraction"])[earlier].equals(
            build_features(train_rows[earlier], ["cv_fraction"])
        )


def test_the_source_goes_through_loader_split_and_training(
    xjtu_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    lab = tmp_path / "reference" / "lab"
    lab.mkdir(parents=True)
    for cell, fade in enumerate(np.linspace(0.002, 0.006, 10)):
        cycle = np.arange(0, 1000, 50)
        table = {
            "cycle": cycle,
            "throughput_Ah": 4.0 * cycle,
            "resistance_ohm": 0.03 * (1 + fade * cycle / 10),
            "capacity_Ah": 2.0 * (1 - fade * cycle / 50),
        }
        pd.DataFrame(table).to_csv(lab / f"C{cell}.csv", index=False)
    with registered("add-a-source.md", "lab_csv", tmp_path, SOURCES, "LabCsv"):
        settings = xjtu_settings(
            tmp_path / "project", lab.parent, data__source="lab_csv", models=("lgbm",), data__workers=1
        )
        raw = fetch(settings)
        tables = normalize(settings, raw)
        cell_split = split(settings, tables)
        assert len(read_table(tables.path, "checkups")) == 10 * 20
        (spec,) = job_specs(settings, tables, cell_split)
        result = train(spec)
    assert {"cycle_count", "resistance_ohm", "equivalent_full_cycles"} <= set(result["features"])
    assert result["val_mean_cell_mape"] < 5
