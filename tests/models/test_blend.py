"""A blend is the weighted mean of its parts, picked on validation cells, and comes back from disk the same."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.splits import CellSplit
from battery_core.errors import DataError
from battery_core.models.blend import BLEND_FILE, Blend, load_estimator
from battery_core.models.mixing import greedy_picks, mixed_by_others
from battery_core.models.pipeline import Pipeline
from battery_core.stages.blend import blend
from battery_core.stages.candidate import PIPELINE_FOLDER, PREDICTIONS_FILE
from battery_core.stages.train import labelled_rows


@pytest.fixture
def parts(prepared, trained) -> tuple[Pipeline, ...]:
    runs = prepared.settings.folder("artifacts") / "runs"
    return tuple(Pipeline.load(runs / result["run_id"] / PIPELINE_FOLDER) for result in trained)


@pytest.fixture
def rows(prepared):
    return labelled_rows(prepared.tables.path, CellSplit.from_json(prepared.split.path.read_text()), "nominal")


def test_the_estimate_is_the_weighted_mean(parts, rows) -> None:
    mix = Blend(parts, (3, 1))
    expected = 0.75 * parts[0].predict(rows) + 0.25 * parts[1].predict(rows)
    np.testing.assert_allclose(mix.predict(rows), expected, rtol=1e-12)
    assert mix.members(rows).shape == (4, len(rows))
    assert set(mix.raw_columns) == {*parts[0].raw_columns, *parts[1].raw_columns}
    assert set(mix.features(rows)) == {*parts[0].feature_names, *parts[1].feature_names}


def test_save_and_load(parts, rows, tmp_path: Path) -> None:
    mix = Blend(parts, (1, 2), {"soh_reference": "nominal"})
    mix.save(tmp_path / "mix")
    back = load_estimator(tmp_path / "mix")
    assert isinstance(back, Blend)
    assert back.facts == mix.facts
    np.testing.assert_array_equal(back.predict(rows), mix.predict(rows))
    about = json.loads((tmp_path / "mix" / BLEND_FILE).read_text())
    (tmp_path / "mix" / BLEND_FILE).write_text(json.dumps({k: v for k, v in about.items() if k != "picks"}))
    with pytest.raises(DataError, match="other code wrote it, this code cannot read it"):
        load_estimator(tmp_path / "mix")


@pytest.fixture
def high_and_low(prepared, trained) -> list[dict[str, Any]]:
    """Two jobs of which one says too much and one too little."""
    runs, (lgbm, *_) = prepared.settings.folder("artifacts") / "runs", trained
    results = []
    for name, off in (("high", 0.03), ("low", -0.03)):
        folder = runs / f"xjtu-{name}"
        shutil.copytree(runs / lgbm["run_id"], folder, dirs_exist_ok=True)
        said = pd.read_parquet(folder / PREDICTIONS_FILE)
        said.assign(prediction=said["soh"] + off).to_parquet(folder / PREDICTIONS_FILE, index=False)
        results.append({"model": name, "run_id": folder.name, "key": f"key of {name}"})
    return results


def test_the_night_has_one_more_candidate(prepared, trained, high_and_low, rows) -> None:
    made = blend(prepared.settings, rows, high_and_low)
    assert made is not None
    assert made["parts"] == {"high": 1, "low": 1}
    (lgbm, *_) = trained
    assert made["val_mean_cell_mape"] == pytest.approx(lgbm["val_mean_cell_mape"])  # both copies are that model
    assert made["conformal"]["n_cells"] == lgbm["conformal"]["n_cells"]
    widest = max(value for _, value in made["conformal"]["quantiles"])
    assert widest == pytest.approx(
        0, abs=1e-9
    )  # what is too high and too low cancels in every cell's mix by the others
    assert blend(prepared.settings, rows, high_and_low) == {**made, "reused": True}


def test_without_picks_there_is_no_blend(prepared, trained, rows) -> None:
    none = prepared.settings.model_copy(update={"blend": prepared.settings.blend.model_copy(update={"picks": 0})})
    assert blend(none, rows, trained) is None


def test_picks_are_as_good_as_the_best_weights_on_a_grid() -> None:
    generator = np.random.default_rng(5)
    soh = generator.uniform(0.8, 1.0, 60)
    cells = np.repeat([*"ABC"], [10, 20, 30]).tolist()
    offs = {"x": 0.01, "y": -0.01, "z": 0.03}
    predictions = {name: soh * (1 + generator.normal(bias, 0.01, 60)) for name, bias in offs.items()}
    picks = greedy_picks(soh, cells, predictions, 10)

    def error(weights) -> float:
        mean = sum(w * predictions[n] for n, w in weights.items()) / sum(weights.values())
        relative = np.abs(mean / soh - 1)
        return float(np.mean([relative[np.array(cells) == c].mean() for c in "ABC"]))

    grid = min(error(dict(zip("xyz", w, strict=True))) for w in itertools.product(range(11), repeat=3) if sum(w) == 10)
    assert error(picks) <= 1.03 * grid
    assert error(picks) < min(error({name: 1}) for name in "xyz")


def test_a_model_with_a_gap_is_never_picked() -> None:
    assert greedy_picks([1.0, 1.0], ["A", "A"], {"gap": [1.0, np.nan], "off": [1.1, 1.1]}, 5) == {"off": 1}
    assert greedy_picks([1.0], ["A"], {"gap": [np.nan]}, 5) == {}


def test_a_cell_is_mixed_by_the_others() -> None:
    generator = np.random.default_rng(1)
    cells = [f"cell {i // 4}" for i in range(100)]  # 25 cells in 20 folds
    soh = generator.uniform(0.8, 1.0, 100)
    says = {name: soh + generator.normal(0, 0.02, 100) for name in "abc"}
    mixed = mixed_by_others(soh, cells, says, 10)
    for cell, row in (("cell 3", 12), ("cell 24", 96)):
        fold = sorted(set(cells)).index(cell) % 20
        others = np.array([sorted(set(cells)).index(c) % 20 != fold for c in cells])
        picks = greedy_picks(soh[others], np.array(cells)[others], {n: v[others] for n, v in says.items()}, 10)
        assert mixed[row] == pytest.approx(sum(n * says[name][row] for name, n in picks.items()) / sum(picks.values()))
    changed = np.where(np.array(cells) == "cell 3", 0.5, soh)  # its own label has no say
    own = np.array(cells) == "cell 3"
    np.testing.assert_array_equal(mixed_by_others(changed, cells, says, 10)[own], mixed[own])


def test_intervals_of_a_mix_are_wider_than_on_the_cells_that_chose_it() -> None:
    generator = np.random.default_rng(2)
    ratios = []
    for _ in range(30):
        soh, cells = generator.uniform(0.8, 1.0, 80), np.repeat(np.arange(8), 10)
        bias = generator.normal(0, 0.02, (6, 8))  # six models, each off by its own amount in each cell
        says = {str(k): soh + bias[k, cells] for k in range(6)}
        picks = greedy_picks(soh, cells, says, 10)
        chosen = sum(n * says[name] for name, n in picks.items()) / sum(picks.values())
        ratios.append(np.abs(mixed_by_others(soh, cells, says, 10) - soh).mean() / np.abs(chosen - soh).mean())
    assert np.mean(ratios) > 1.2


def test_the_only_cell_chooses_for_itself() -> None:
    said = mixed_by_others([1.0, 0.9], ["A", "A"], {"off": [1.1, 1.0], "right": [1.0, 0.9]}, 5)
    assert said.tolist() == [1.0, 0.9]
    assert np.isnan(mixed_by_others([1.0], ["A"], {"gap": [np.nan]}, 5)).all()
