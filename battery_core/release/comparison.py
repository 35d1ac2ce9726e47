"""Newcomer and champion scored at the same moment on the same cells, ready to be decided on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from battery_core.errors import DataError
from battery_core.evaluation.baselines import BASELINES
from battery_core.evaluation.leakage import check_causality, life_fraction_columns
from battery_core.evaluation.metrics.per_cell import drop_reference_checkup, per_cell_errors
from battery_core.predictors.base import SohPredictor
from battery_core.release.champion_scoring import PackagePredictions
from battery_core.release.promotion import ComparisonInputs, mean

if TYPE_CHECKING:
    import pandas as pd


def build_comparison(
    challenger_model: SohPredictor,
    champion: PackagePredictions | None,
    champion_name: str,
    rows: pd.DataFrame,
    reference: str,
    dirty: bool,
) -> ComparisonInputs:
    """Score both on the test cells that the champion was not trained on, and look for leaks.

    Args:
        newcomer: the fitted pipeline of the challenger.
        champion: what the one that serves said of the test rows, or None.
        champion_name: how to call it, such as "version 3".
        rows: labelled rows with the part of the split they are in.
        reference: what SOH is relative to.
        dirty: whether the code differs from its commit.
    """
    test = rows[rows["subset"] == "test"]
    seen = set(champion.facts.get("seen_cells", ())) if champion else set()
    unseen = test[~test["cell_id"].isin(seen)]
    common = unseen if len(unseen) else test
    train = rows[rows["subset"] == "train"]
    errors = cell_errors(challenger_model, common, reference)
    predicts = all(map(math.isfinite, errors.values()))
    return ComparisonInputs(
        challenger=errors,
        champion=None if champion is None else cell_errors(champion, unseen, reference),
        champion_name=champion_name,
        baselines={
            name: mean(_errors(baseline(train, common), common, reference)) for name, baseline in BASELINES.items()
        },
        unseen_cells=int(drop_reference_checkup(unseen, reference)["cell_id"].nunique()),
        test_cells=int(test["cell_id"].nunique()),
        slices=conditions(drop_reference_checkup(common, reference)),
        blocking_reason=blocking_reason(challenger_model, champion, champion_name, common, reference)
        if predicts
        else "",
        dirty=dirty,
    )


def cell_errors(pipeline: SohPredictor | PackagePredictions, rows: pd.DataFrame, reference: str) -> dict[str, float]:
    """Mean absolute percentage error of each cell, %; NaN throughout where the pipeline cannot predict these rows."""
    if rows.empty:
        return {}
    try:
        prediction = pipeline.predict(rows)
    except DataError:
        prediction = np.full(len(rows), np.nan)
    return _errors(prediction, rows, reference)


def _errors(prediction: npt.NDArray[np.float64], rows: pd.DataFrame, reference: str) -> dict[str, float]:
    """Errors of the cells with a check-up that counts."""
    counted = drop_reference_checkup(rows.assign(prediction=prediction), reference)
    errors = per_cell_errors(counted["cell_id"], counted["soh"], counted["prediction"])
    return dict(zip(map(str, errors.cell_ids), errors.mape.tolist(), strict=True))


def conditions(rows: pd.DataFrame) -> dict[str, dict[str, tuple[str, ...]]]:
    """The cells of each temperature and of each group; what there is only one of guards nothing."""
    cells = rows.drop_duplicates("cell_id")
    temperature = cells["ambient_temperature_degC"].map(lambda t: f"{t:g} degC", na_action="ignore")
    slices = {}
    for name, labels in {"temperature": temperature, "group": cells["group"]}.items():
        parts = {str(label): tuple(map(str, part)) for label, part in cells["cell_id"].groupby(labels)}
        if len(parts) > 1:
            slices[name] = parts
    return slices


def blocking_reason(
    challenger_model: SohPredictor,
    champion: PackagePredictions | None,
    champion_name: str,
    rows: pd.DataFrame,
    reference: str,
) -> str:
    """Why there must be no contest: the newcomer knows the future, or the two predict different things."""
    theirs = reference if champion is None else champion.facts.get("soh_reference")
    if theirs != reference:
        return (
            f"{champion_name} predicts SOH relative to '{theirs}', this run to '{reference}': not comparable - start a "
            "new line with release.registered_model"
        )
    if found := check_causality(challenger_model.predict, rows):
        return f"{found}; mend the feature set that looks ahead"
    if revealed := life_fraction_columns(challenger_model.features(rows), rows):
        return (
            f"feature '{revealed[0]}' is the fraction of life, known only after a cell's end: a leak; scale it on "
            "training cells or take it out"
        )
    return ""
