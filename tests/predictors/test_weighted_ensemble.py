"""A blend is the weighted mean of its parts, weighted by validation cells, and comes back from disk the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.data.splits.cell_split import CellSplit
from battery_core.errors import DataError
from battery_core.predictors.calibration_correction import calibration_correction, out_of_fold_scores
from battery_core.predictors.ensemble_weights import leave_cell_out_mean, weights_by_error
from battery_core.predictors.pipeline import Pipeline
from battery_core.predictors.weighted_ensemble import ENSEMBLE_FILE, WeightedEnsemble, load_predictor
from battery_core.stages.labelled_rows import labelled_rows
from battery_core.stages.training.candidate import PIPELINE_FOLDER, PREDICTIONS_FILE
from battery_core.stages.training.ensemble import _is_one_better, build_ensemble
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import train


@pytest.fixture
def parts(prepared, trained) -> tuple[Pipeline, ...]:
    runs = prepared.settings.folder("artifacts") / "runs"
    return tuple(Pipeline.load(runs / result["run_id"] / PIPELINE_FOLDER) for result in trained)


@pytest.fixture
def rows(prepared):
    return labelled_rows(prepared.tables.path, CellSplit.from_json(prepared.split.path.read_text()), "nominal")


def test_the_estimate_is_the_weighted_mean(parts, rows) -> None:
    mix = WeightedEnsemble(parts, (0.75, 0.25))
    said = [part.predict(rows) for part in parts]
    np.testing.assert_allclose(mix.predict(rows), 0.75 * said[0] + 0.25 * said[1], rtol=1e-12)
    assert mix.predict_members(rows).shape == (2, len(rows))
    assert set(mix.raw_columns) == {*parts[0].raw_columns, *parts[1].raw_columns}
    assert set(mix.features(rows)) == {*parts[0].feature_names, *parts[1].feature_names}


def test_save_and_load(parts, rows, tmp_path: Path) -> None:
    mix = WeightedEnsemble(parts, (0.3, 0.7), {"soh_reference": "nominal"})
    mix.save(tmp_path / "mix")
    back = load_predictor(tmp_path / "mix")
    assert isinstance(back, WeightedEnsemble)
    assert back.metadata == mix.metadata
    np.testing.assert_array_equal(back.predict(rows), mix.predict(rows))
    about = json.loads((tmp_path / "mix" / ENSEMBLE_FILE).read_text())
    (tmp_path / "mix" / ENSEMBLE_FILE).write_text(json.dumps({k: v for k, v in about.items() if k != "shares"}))
    with pytest.raises(DataError, match="other code wrote it, this code cannot read it"):
        load_predictor(tmp_path / "mix")


def mixing(prepared, **changes: Any) -> Any:
    """Settings with the blend switched on."""
    given = prepared.settings.ensemble.model_copy(update={"enabled": True} | changes)
    return prepared.settings.model_copy(update={"ensemble": given})


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
    made = build_ensemble(mixing(prepared), rows, high_and_low)
    assert made is not None
    assert made["parts"] == pytest.approx({"high": 0.5, "low": 0.5}, abs=0.02)  # 3 % of a lower SOH is more
    (lgbm, *_) = trained
    assert made["val_mean_cell_mape"] == pytest.approx(lgbm["val_mean_cell_mape"])  # both copies are that model
    assert made["conformal"]["n_cells"] == lgbm["conformal"]["n_cells"]
    assert build_ensemble(mixing(prepared), rows, high_and_low) == {**made, "reused": True}


def test_intervals_allow_for_how_hard_the_validation_cells_are(prepared, trained, rows) -> None:
    (spec,) = job_specs(
        prepared.settings.model_copy(update={"models": ("kernel_ridge",)}), prepared.tables, prepared.split
    )
    kernel = train(spec) | {"key": spec.key, "run_id": spec.run_id}
    results = [*trained, kernel]
    sure = {"min_weight": 0.0, "confidence": 0.999}
    plain = build_ensemble(mixing(prepared, compare_cells=False, **sure), rows, results)["conformal"]
    corrected = build_ensemble(mixing(prepared, **sure), rows, results)["conformal"]
    told = rows[rows["subset"].isin(["train", "val"])]
    scores = out_of_fold_scores(Pipeline.load(spec.folder / PIPELINE_FOLDER), told)
    cells = list(rows.loc[rows["subset"] == "val", "cell_id"].unique())
    factor = calibration_correction(scores["score"], scores["cell_id"], cells)
    assert (plain["correction"], corrected["correction"]) == (1.0, pytest.approx(factor))
    assert abs(factor - 1) > 0.01
    for (_, before), (_, after) in zip(plain["quantiles"], corrected["quantiles"], strict=True):
        assert after == pytest.approx(factor * before)
    without = build_ensemble(mixing(prepared, **sure), rows, trained)  # no kernel among the models: nobody to ask
    assert without["conformal"]["correction"] == 1.0


def test_switched_off_there_is_no_blend(prepared, high_and_low, rows) -> None:
    assert build_ensemble(mixing(prepared, enabled=False), rows, high_and_low) is None


def test_a_single_model_that_is_surely_better_serves_alone(prepared, high_and_low, rows) -> None:
    runs, cells = prepared.settings.folder("artifacts") / "runs", rows.loc[rows["subset"] == "val", "cell_id"].nunique()
    assert 0.5**cells <= 0.3  # so few can show no more
    near = runs / "xjtu-near"
    shutil.copytree(runs / high_and_low[0]["run_id"], near, dirs_exist_ok=True)
    said = pd.read_parquet(near / PREDICTIONS_FILE)
    said.assign(prediction=said["soh"] + 0.001).to_parquet(near / PREDICTIONS_FILE, index=False)
    results = [high_and_low[0], {"model": "near", "run_id": near.name, "key": "key of near"}]
    assert build_ensemble(mixing(prepared, min_weight=0.0, confidence=0.7), rows, results) is None
    never_sure = mixing(prepared, min_weight=0.0, confidence=0.999)  # on so few cells
    assert build_ensemble(never_sure, rows, results) is not None
    assert build_ensemble(mixing(prepared, min_weight=0.05), rows, results) is None  # one is left


@pytest.mark.parametrize("gap", [np.nan, np.inf])
def test_a_model_with_a_gap_is_never_surely_better(gap: float) -> None:
    """Its other check-ups are exact: a mean that passes over the gap would be 0 in every cell."""
    cells, soh = np.repeat([f"c{i}" for i in range(8)], 3), np.linspace(0.8, 1.0, 24)
    rows = pd.DataFrame({"cell_id": cells, "soh": soh})
    exact, off = pd.Series(soh), pd.Series(soh * 1.01)
    assert _is_one_better(rows, {"exact": exact, "off": off}, {"off": 1.0}, 0.95)
    with_gap = {"exact": exact.where(rows.index != 4, gap), "off": off}
    assert not _is_one_better(rows, with_gap, {"off": 1.0}, 0.95)


def test_shares_are_the_best_for_independent_errors() -> None:
    generator = np.random.default_rng(5)
    soh, cells = generator.uniform(0.8, 1.0, 40_000), np.arange(40_000) % 50
    predictions = {name: soh * (1 + generator.normal(0, off, 40_000)) for name, off in (("x", 0.01), ("y", 0.02))}
    shares = weights_by_error(soh, cells, predictions)
    assert shares == pytest.approx({"x": 0.8, "y": 0.2}, abs=0.01)

    def squared(share: float) -> float:
        return float(np.mean(((share * predictions["x"] + (1 - share) * predictions["y"]) / soh - 1) ** 2))

    assert min(np.linspace(0, 1, 101), key=squared) == pytest.approx(shares["x"], abs=0.02)


def test_a_cell_weighs_one_however_many_checkups_it_has() -> None:
    soh, cells = np.ones(101), ["long"] * 100 + ["short"]
    off_long, off_short = np.r_[np.full(100, 1.1), 1.0], np.r_[np.ones(100), 1.1]
    assert weights_by_error(soh, cells, {"a": off_long, "b": off_short}) == pytest.approx({"a": 0.5, "b": 0.5})


def test_a_model_with_a_gap_or_next_to_no_share_is_left_out() -> None:
    assert weights_by_error([1.0, 1.0], ["A", "A"], {"gap": [1.0, np.nan], "off": [1.1, 1.1]}) == {"off": 1.0}
    assert weights_by_error([1.0], ["A"], {"gap": [np.nan]}) == {}
    says = {"near": [1.01], "far": [1.05]}
    assert weights_by_error([1.0], ["A"], says) == pytest.approx({"near": 25 / 26, "far": 1 / 26})
    assert weights_by_error([1.0], ["A"], says, min_weight=0.05) == {"near": 1.0}
    assert set(weights_by_error([1.0], ["A"], {"a": [1.1], "b": [0.9]}, min_weight=0.9)) == {"a", "b"}  # never none


def test_a_cell_is_mixed_by_the_others() -> None:
    generator = np.random.default_rng(1)
    cells = [f"cell {i // 4}" for i in range(100)]  # 25 cells in 20 folds
    soh = generator.uniform(0.8, 1.0, 100)
    says = {name: soh + generator.normal(0, 0.02, 100) for name in "abc"}
    mixed = leave_cell_out_mean(soh, cells, says)
    for cell, row in (("cell 3", 12), ("cell 24", 96)):
        fold = sorted(set(cells)).index(cell) % 20
        others = np.array([sorted(set(cells)).index(c) % 20 != fold for c in cells])
        shares = weights_by_error(soh[others], np.array(cells)[others], {n: v[others] for n, v in says.items()})
        assert mixed[row] == pytest.approx(sum(share * says[name][row] for name, share in shares.items()))
    changed = np.where(np.array(cells) == "cell 3", 0.5, soh)  # its own label has no say
    own = np.array(cells) == "cell 3"
    np.testing.assert_array_equal(leave_cell_out_mean(changed, cells, says)[own], mixed[own])


def test_the_only_cell_tells_its_own_shares() -> None:
    said = leave_cell_out_mean([1.0, 0.9], ["A", "A"], {"off": [1.1, 1.0], "right": [1.0, 0.9]})
    assert said == pytest.approx([1.0, 0.9])
    assert np.isnan(leave_cell_out_mean([1.0], ["A"], {"gap": [np.nan]})).all()
