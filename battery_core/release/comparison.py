"""Score challenger and champion on the same cells at the same moment: the input of the promotion rule."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.errors import DataError
from battery_core.evaluation.baselines import BASELINES
from battery_core.evaluation.leakage import check_causality, life_fraction_columns
from battery_core.evaluation.metrics.per_cell import drop_reference_checkup, per_cell_errors
from battery_core.predictors.base import SohPredictor
from battery_core.release.champion_scoring import PackagePredictions
from battery_core.release.promotion import ComparisonInputs, mean
from battery_core.release.wire_format import SEEN_CELLS, SOH_REFERENCE


def build_comparison(
    challenger_model: SohPredictor,
    champion: PackagePredictions | None,
    champion_name: str,
    rows: pd.DataFrame,
    reference: str,
    dirty: bool,
) -> ComparisonInputs:
    """Score both on the test cells that the champion was not trained on, and check the challenger for leaks.

    Args:
        challenger_model: the fitted predictor of the challenger.
        champion: predictions of the champion for the test rows, or None.
        champion_name: its name in reasons, such as "version 3".
        rows: labelled rows with their subset of the split.
        reference: what SOH is relative to.
        dirty: whether the code differs from its commit.
    """
    test = rows[rows["subset"] == "test"]
    seen = set(champion.metadata.get(SEEN_CELLS, ())) if champion else set()
    unseen = test[~test["cell_id"].isin(seen)]
    common = unseen if len(unseen) else test
    train = rows[rows["subset"] == "train"]
    errors = cell_errors(challenger_model, common, reference)
    is_finite = all(map(math.isfinite, errors.values()))
    return ComparisonInputs(
        challenger=errors,
        champion=None if champion is None else cell_errors(champion, unseen, reference),
        champion_name=champion_name,
        baselines={
            name: mean(_errors(baseline(train, common), common, reference)) for name, baseline in BASELINES.items()
        },
        unseen_cells=int(drop_reference_checkup(unseen, reference)["cell_id"].nunique()),
        test_cells=int(test["cell_id"].nunique()),
        slices=cells_by_condition(drop_reference_checkup(common, reference)),
        blocking_reason=(
            blocking_reason(challenger_model, champion, champion_name, common, reference) if is_finite else ""
        ),
        dirty=dirty,
    )


def cell_errors(model: SohPredictor | PackagePredictions, rows: pd.DataFrame, reference: str) -> dict[str, float]:
    """Return the mean absolute percentage error of each cell, %; all NaN if the model cannot predict these rows."""
    if rows.empty:
        return {}
    try:
        prediction = model.predict(rows)
    except DataError:
        prediction = np.full(len(rows), np.nan)
    return _errors(prediction, rows, reference)


def _errors(prediction: npt.NDArray[np.float64], rows: pd.DataFrame, reference: str) -> dict[str, float]:
    """Return the errors of the cells that have a check-up other than the reference."""
    counted = drop_reference_checkup(rows.assign(prediction=prediction), reference)
    errors = per_cell_errors(counted["cell_id"], counted["soh"], counted["prediction"])
    return dict(zip(map(str, errors.cell_ids), errors.mape.tolist(), strict=True))


def cells_by_condition(rows: pd.DataFrame) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return the cells of each temperature and each group; a kind with a single condition is left out."""
    cells = rows.drop_duplicates("cell_id")
    temperature = cells["ambient_temperature_degC"].map(lambda t: f"{t:g} degC", na_action="ignore")
    slices = {}
    for name, labels in {"temperature": temperature, "group": cells["group"]}.items():
        members = {str(label): tuple(map(str, ids)) for label, ids in cells["cell_id"].groupby(labels)}
        if len(members) > 1:
            slices[name] = members
    return slices


def blocking_reason(
    challenger_model: SohPredictor,
    champion: PackagePredictions | None,
    champion_name: str,
    rows: pd.DataFrame,
    reference: str,
) -> str:
    """Return why the two cannot be compared, or "": a leak in the challenger, or another SOH reference."""
    champion_reference = reference if champion is None else champion.metadata.get(SOH_REFERENCE)
    if champion_reference != reference:
        return (
            f"{champion_name} predicts SOH relative to '{champion_reference}', this run to '{reference}': not "
            "comparable - register under another name with release.registered_model"
        )
    if leak := check_causality(challenger_model.predict, rows):
        return f"{leak}; repair the feature set that uses later check-ups"
    if leaking := life_fraction_columns(challenger_model.features(rows), rows):
        return (
            f"feature '{leaking[0]}' is the fraction of life, which is defined only after a cell's end: a leak; scale "
            "it on training cells or remove it"
        )
    return ""
