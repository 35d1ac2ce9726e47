"""What the draw of calibration cells does to an interval, and how far asking another model mends it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_core.features.scaling import Scaler
from battery_core.features.settings import FeatureSettings
from battery_core.models.kernel_ridge import KernelRidgeModel
from battery_core.predictors.calibration_correction import calibration_correction, out_of_fold_scores
from battery_core.predictors.feature_pipeline import FeaturePipeline
from battery_core.predictors.pipeline import Pipeline
from battery_core.uncertainty.conformal import Conformal, fade_scale

CELLS = tuple(f"{i:02d}" for i in range(20))
HARD = CELLS[1::2]


class _OneColumn(FeaturePipeline):
    """One measured column as it is."""

    def features(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows[["voltage_V"]]


@pytest.fixture
def rows() -> pd.DataFrame:
    """Twenty cells; the SOH of every second one is off by 2 points, in no way that the column tells."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"cell_id": np.repeat(CELLS, 30), "checkup_index": np.tile(range(30), 20)})
    off = rng.choice([-0.02, 0.02], 20)[np.repeat(range(20), 30)] * table["cell_id"].isin(HARD)
    table["voltage_V"] = rng.uniform(3.0, 4.0, len(table))
    return table.assign(soh=0.8 + 0.2 * (table["voltage_V"] - 3) + off + rng.normal(0, 0.002, len(table)))


@pytest.fixture
def kernel(rows: pd.DataFrame) -> Pipeline:
    x = rows[["voltage_V"]].to_numpy()
    scaler = Scaler.fit(x)
    model = KernelRidgeModel(length_scales=[1.0, 2.0], alphas=[0.1, 0.5])
    model.fit(scaler.transform(x), rows["soh"], train_cells=list(rows["cell_id"]))
    model.length_scale, model.alpha = 2.0, 0.5  # as if validation cells had chosen the last
    return Pipeline("kernel_ridge", model, _OneColumn(FeatureSettings(), ("voltage_V",), ("voltage_V",), scaler))


def test_scores_are_those_of_a_kernel_that_did_not_see_the_cell(kernel: Pipeline, rows: pd.DataFrame) -> None:
    found = out_of_fold_scores(kernel, rows)
    fold = [CELLS[i] for i in (3, 8, 13, 18)]
    out = rows["cell_id"].isin(fold)
    x = kernel.feature_pipeline.scaler.transform(rows[["voltage_V"]].to_numpy())
    model = KernelRidgeModel(length_scales=[2.0], alphas=[0.5]).fit(
        x[~out], rows["soh"][~out], train_cells=list(rows["cell_id"][~out])
    )
    said = model.predict(x[out])[:, 0]
    by_hand = np.abs(rows["soh"][out] - said) / fade_scale(said)
    np.testing.assert_allclose(found.loc[out, "score"], by_hand, rtol=1e-12)
    assert len(found) == len(rows)


@pytest.mark.parametrize(
    ("calibrating", "low", "high"),
    [(CELLS, 1.0, 1.0), (CELLS[::2], 1.3, 1.5), (HARD, 0.8, 0.95), (CELLS[:10], 0.9, 1.1), ((), 1.0, 1.0)],
)
def test_easy_cells_widen_and_hard_ones_narrow(kernel, rows, calibrating, low: float, high: float) -> None:
    scores = out_of_fold_scores(kernel, rows)
    assert low <= calibration_correction(scores["score"], scores["cell_id"], calibrating) <= high


def test_the_correction_is_limited_and_needs_figures() -> None:
    cells = ["A", "B", "C", "D"]
    assert calibration_correction([1.0, 100.0, 100.0, 100.0], cells, ["A"]) == pytest.approx(2**0.5)
    assert (
        calibration_correction([100.0, 1.0, 1.0, 1.0], cells, ["A"]) == 1.0
    )  # of all, nine in ten hold the worst, too
    assert calibration_correction([1.0, np.nan, 1.0, 1.0], cells, ["A"]) == 1.0
    assert calibration_correction([0.0, 1.0, 1.0, 1.0], cells, ["A"]) == 1.0


def held(together: float, nights: int = 300) -> tuple[float, float]:
    """How far coverage of new cells is from 0.9, mean over drawings of cells: as calibrated, and corrected.

    How hard cells are for the two models goes together at ``together`` (correlation of logarithms).
    """
    rng, cells, off = np.random.default_rng(1), np.repeat(range(40), 25), []
    calibrating = [str(i) for i in range(10)]  # cells 10 to 39 train, 40 to 59 are new
    for _ in range(nights):
        hard = 0.5 * (together**0.5 * rng.normal(size=(60, 1)) + (1 - together) ** 0.5 * rng.normal(size=(2, 60, 1)))
        ours, theirs = np.exp(hard) * np.abs(rng.normal(0, 0.1, (2, 60, 25)))  # (60, 25) each: scores
        conformal = Conformal.conformalize(1 + ours[:10].ravel() * 0.05, np.ones(250), cells[:250])
        factor = calibration_correction(theirs[:40].ravel(), cells, calibrating)
        limits = [used.bounds([1.0])[1][0] for used in (conformal, conformal.corrected(factor))]
        off.append([abs(np.mean(1 + ours[40:] * 0.05 <= limit) - 0.9) for limit in limits])
    plain, corrected = np.mean(off, axis=0)
    return float(plain), float(corrected)


@pytest.mark.parametrize(("together", "share"), [(0.9, 0.92), (0.6, 0.97)])
def test_new_cells_are_held_nearer_to_what_is_promised(together: float, share: float) -> None:
    plain, corrected = held(together)
    assert corrected < share * plain


def test_a_model_that_finds_other_cells_hard_does_little_harm() -> None:
    plain, corrected = held(0.0)
    assert corrected < 1.15 * plain


def test_what_was_narrowed_guarantees_nothing() -> None:
    wide, narrow = (Conformal(0.9, {0.9: 0.2}, 9, 100).corrected(factor) for factor in (1.1, 0.9))
    assert (wide.guaranteed, narrow.guaranteed) == (pytest.approx(0.81), 0.0)
    assert Conformal.from_json(narrow.to_json()) == narrow
    older = {name: value for name, value in wide.to_json().items() if name != "correction"}
    assert Conformal.from_json(older).calibration_correction == 1.0
