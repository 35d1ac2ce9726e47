"""A drill on a real registry: the nights that matter, one after the other, and the way back."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from battery_core.artifacts import ReleaseResult
from battery_core.data.sources.charge_statistics.reader import COLUMNS
from battery_core.errors import DataError
from battery_core.features.base import FeatureSet
from battery_core.features.registry import FEATURES
from battery_core.files import write_json
from battery_core.jobs import RESULT_FILE, finished
from battery_core.release.locking import hold_lock
from battery_core.release.model_registry import ModelRegistry
from battery_core.release.provenance import CodeState
from battery_core.release.wire_format import CHAMPION, PREVIOUS
from battery_core.settings import Settings
from battery_core.stages import registry as run_registry
from battery_core.stages.data.fetch import fetch
from battery_core.stages.data.normalize import normalize
from battery_core.stages.data.split import split
from battery_core.stages.evaluation.evaluate import evaluate
from battery_core.stages.evaluation.select import select
from battery_core.stages.release import compare as judging
from battery_core.stages.release import promote as releasing
from battery_core.stages.release import rollback
from battery_core.stages.release.compare import compare
from battery_core.stages.release.promote import promote
from battery_core.stages.training.ensemble import ensemble
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import train

GROUPS = ("2C", "3C", "R2.5")
NEWCOMERS = (5, 6, 7, 9, 10, 11)
"""Numbers of the cells that come with night 3."""
Night = Callable[..., ReleaseResult]


def write_cell(root: Path, name: str, noise: float = 0.0, aged: float = 1.0) -> None:
    """A cell cycled to SOH 0.8 at a rate of its own; its charge statistics tell the SOH, bent and with some noise.

    ``aged`` is the share of that life the cell has behind it, ``noise`` is on its labels.
    """
    generator = np.random.default_rng(abs(hash_of(name)))
    rows = int(generator.integers(15, 45))
    soh = np.linspace(1.0, 0.8, rows)
    table = {
        column: (j + 1) * (1 - soh) ** 2 * 5 + 0.1 * j * soh + generator.normal(0, 0.01, rows)
        for j, column in enumerate(COLUMNS)
    }
    table["capacity"] = 2.0 * (soh + generator.normal(0, 0.001 + noise, rows))
    file = root / "pinn4soh" / "XJTU data" / f"{name}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(table).round(6)[: int(aged * rows)].to_csv(file, index=False)


def hash_of(name: str) -> int:
    return int.from_bytes(name.encode(), "little") % 2**32


def cells(numbers: tuple[int, ...]) -> list[str]:
    return [f"{group}_battery-{number}" for group in GROUPS for number in numbers]


class LooksAhead(FeatureSet):
    """The fraction of life: what no deployed model has."""

    name = "looks_ahead"

    def compute(self, rows: pd.DataFrame, settings: Any) -> pd.DataFrame:
        last = rows.groupby("cell_id")["checkup_index"].transform("max")
        return pd.DataFrame({"life": rows["checkup_index"] / last}, index=rows.index)


@pytest.fixture
def leaky_set() -> Iterator[str]:
    FEATURES.register("looks_ahead")(LooksAhead)
    yield "looks_ahead"
    del FEATURES._entries["looks_ahead"]


@pytest.fixture(autouse=True)
def champion_in_this_process(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, predict_in_process: Any
) -> None:
    """Its packed code is that of this checkout; the end-to-end tests load it as it serves, seconds a night."""
    if not request.node.get_closest_marker("e2e"):
        monkeypatch.setattr(judging, "predict_isolated", predict_in_process)


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    root = tmp_path / "reference"
    for name in cells((1, 2, 3, 4, 8)):  # a 4 or an 8 makes a test cell; the others are young still
        write_cell(root, name, aged=1.0 if name[-1] in "48" else 0.6)
    return root


@pytest.fixture
def settings(reference: Path, tmp_path: Path, xjtu_settings, new_store, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for module in (judging, releasing):
        monkeypatch.setattr(module, "code_state", lambda: CodeState("c0ffee", ()))
    uri = new_store(tmp_path / "registry")
    return xjtu_settings(
        tmp_path / "project", reference, tracking__mlflow_uri=uri, models="lgbm", lgbm__n_estimators=60
    )


def night(settings: Settings, name: str) -> ReleaseResult:
    """What the flow does, without the orchestrator."""
    raw = fetch(settings)
    tables = normalize(settings, raw)
    cell_split = split(settings, tables)
    results = []
    for spec in job_specs(settings, tables, cell_split):
        if (result := finished(spec)) is None:
            write_json(spec.folder / RESULT_FILE, train(spec) | {"key": spec.key, "run_id": spec.run_id})
            result = finished(spec)
        results.append((result or {}) | {"reused": False})
    folder = settings.folder("artifacts") / "reports" / name
    candidates = ensemble(settings, tables, cell_split, results, folder)
    selection = select(evaluate(settings, tables, cell_split, candidates))
    comparison = compare(settings, tables, cell_split, selection)
    return promote(settings, tables, cell_split, comparison, name)


def told(settings: Settings) -> str:
    console = Console(width=300, file=io.StringIO())
    console.print(rollback.history(settings))
    return console.file.getvalue()  # type: ignore[attr-defined]


def before_the_first_night(settings: Settings) -> None:
    with pytest.raises(DataError, match="history: model 'soh-xjtu' has had no champion yet"):
        rollback.history(settings)
    with pytest.raises(DataError, match="rollback: model 'soh-xjtu' has no champion"):
        rollback.rollback(settings, "?")


def night_1_promotes_over_baselines(settings: Settings) -> None:
    first = night(settings, "night-1")
    assert (first.version, first.promoted, first.champion) == (1, True, 1)
    assert "first champion" in first.reason
    with pytest.raises(DataError, match="version 1 is the first champion of 'soh-xjtu'"):
        rollback.rollback(settings, "?")


def night_2_on_the_same_data_does_not(settings: Settings) -> None:
    same = night(settings, "night-2")
    assert (same.version, same.promoted, same.champion) == (2, False, 1)
    assert "is equal to version 1" in same.reason


def night_3_with_more_cells_promotes(settings: Settings, reference: Path) -> None:
    for name in cells((1, 2, 3, 5, 6, 7, 9, 10, 11)):  # the young ones have aged, and others came
        write_cell(reference, name)
    more = night(settings, "night-3")
    assert (more.version, more.promoted, more.champion) == (3, True, 3), more.reason


def night_4_with_corrupted_labels_is_refused(settings: Settings, reference: Path) -> None:
    for name in cells(NEWCOMERS):
        write_cell(reference, name, noise=0.02)
    spoilt = night(settings, "night-4")
    assert (spoilt.version, spoilt.promoted, spoilt.champion) == (4, False, 3)
    assert "above version 3" in spoilt.reason
    file = reference / "pinn4soh" / "XJTU data" / "2C_battery-5.csv"
    table = pd.read_csv(file)
    table.assign(capacity=table["capacity"] * 1000).to_csv(file, index=False)
    with pytest.raises(DataError, match="mAh"):
        night(settings, "night-4-mAh")
    for name in cells(NEWCOMERS):
        write_cell(reference, name)


def night_5_with_a_leaky_feature_set_is_refused(settings: Settings, leaky_set: str) -> None:
    ahead = settings.model_copy(
        update={"features": settings.features.model_copy(update={"sets": ("charge", leaky_set)})}
    )
    leaking = night(ahead, "night-5")
    assert (leaking.version, leaking.promoted, leaking.champion) == (5, False, 3)
    assert "change when their later check-ups are withheld" in leaking.reason


def rollback_holds_also_when_the_same_model_comes_again(settings: Settings, registry: ModelRegistry) -> None:
    said = rollback.rollback(settings, "customers complain")
    assert said == (
        "rollback: 'soh-xjtu' version 1 is in production again, version 3 is rolled back: customers complain"
    )
    assert registry.version_by_alias(CHAMPION).number == 1  # type: ignore[union-attr]
    assert registry.version_by_alias(PREVIOUS) is None  # nobody served before the first
    again = night(settings, "night-6")
    assert (again.promoted, again.champion) == (False, 1)
    assert "the same model as version 3, rolled back 20" in again.reason
    assert "customers complain" in again.reason


def history_prints_it_all(settings: Settings, registry: ModelRegistry) -> None:
    line = told(settings)
    for words in ("first champion", "below version 1", "customers complain", "rollback", "1 *"):
        assert words in line
    assert [event.version for event in registry.promotion_events()] == [1, 3, 1]


def a_version_of_choice_comes_back(settings: Settings, registry: ModelRegistry) -> None:
    assert "version 3 is in production again" in rollback.rollback(settings, "it was the charger", to=3)
    assert registry.version_by_alias(PREVIOUS).number == 1  # type: ignore[union-attr]
    with pytest.raises(DataError, match="version 3 of 'soh-xjtu' is the champion already"):
        rollback.rollback(settings, "?", to=3)
    with pytest.raises(DataError, match="no version 99; there are: 1, 2, 3, 4, 5"):
        rollback.rollback(settings, "?", to=99)


@pytest.mark.parametrize("champion_asked", ["in this process", pytest.param("as packed", marks=pytest.mark.e2e)])
def test_the_drill(settings: Settings, reference: Path, leaky_set: str, champion_asked: str) -> None:
    registry = ModelRegistry(run_registry.tracking_uri(settings), "soh-xjtu")
    before_the_first_night(settings)
    night_1_promotes_over_baselines(settings)
    night_2_on_the_same_data_does_not(settings)
    night_3_with_more_cells_promotes(settings, reference)
    night_4_with_corrupted_labels_is_refused(settings, reference)
    night_5_with_a_leaky_feature_set_is_refused(settings, leaky_set)
    rollback_holds_also_when_the_same_model_comes_again(settings, registry)
    history_prints_it_all(settings, registry)
    a_version_of_choice_comes_back(settings, registry)


@pytest.mark.e2e
def test_two_nights_at_once_move_the_alias_once(settings: Settings) -> None:
    def one(name: str) -> ReleaseResult:
        with hold_lock(run_registry.lock_file(settings), name, print):
            return night(settings, name)

    with ThreadPoolExecutor(2) as pool:
        outcomes = sorted(pool.map(one, ["twin-a", "twin-b"]), key=lambda outcome: outcome.version)
    assert [(o.version, o.promoted, o.champion) for o in outcomes] == [(1, True, 1), (2, False, 1)]
    assert len(ModelRegistry(run_registry.tracking_uri(settings), "soh-xjtu").promotion_events()) == 1


def test_a_night_that_is_tried_again_has_one_version(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    promote = ModelRegistry.promote

    def cut_off(*_: Any) -> None:
        raise OSError("cut off")

    monkeypatch.setattr(ModelRegistry, "promote", cut_off)
    with pytest.raises(OSError, match="cut off"):
        night(settings, "night-1")
    monkeypatch.setattr(ModelRegistry, "promote", promote)
    outcome = night(settings, "night-1")
    assert (outcome.version, outcome.promoted, outcome.champion) == (1, True, 1)
    assert night(settings, "night-1").promoted
    assert len(ModelRegistry(run_registry.tracking_uri(settings), "soh-xjtu").promotion_events()) == 1
