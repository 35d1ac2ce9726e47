"""Select the challenger on the validation cells."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any

from battery_core.artifacts import Evaluation, EvaluationReport, ModelScores, StageResult
from battery_core.cell_errors import as_worst
from battery_core.evaluation.metrics.scores import PRIMARY_METRIC, probe_verdict
from battery_core.predictors.weighted_ensemble import NAME as ENSEMBLE
from battery_core.reporting.formats import percent

REPORT_FILE = "report.json"


def select(evaluation: StageResult) -> StageResult:
    """Choose the challenger and write report.json: the evaluation with the choice.

    The choice uses validation cells only; test cells only measure it.

    Raises:
        DataError: the evaluation does not exist.
    """
    measured = Evaluation.read(evaluation.path)
    chosen = choose([model.model_dump() for model in measured.models])["run_id"]
    challenger = next(model for model in measured.models if model.run_id == chosen)
    report = EvaluationReport(
        **dict(measured),
        challenger=challenger.run_id,
        probe_verdict=probe_verdict(_primary(challenger.test), _primary(measured.leak_probe)),
    )
    file = evaluation.path.parent / REPORT_FILE
    report.write(file)
    error = percent(challenger.test.mean_cell_mape)
    message = f"select: {challenger.model} is chosen on validation cells; {error} on test cells"
    return StageResult(file, evaluation.version, False, message)


def _primary(scores: ModelScores) -> dict[str, float]:
    return {PRIMARY_METRIC: nan if scores.mean_cell_mape is None else scores.mean_cell_mape}


def choose(models: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the ensemble if it was built, else the model with the lowest mean MAPE on validation cells.

    An ensemble is built only if no single model is significantly better (``stages.training.ensemble``).
    A model without a finite error comes last.
    """
    return min(models, key=lambda m: (m.get("model") != ENSEMBLE, as_worst(m["val_mean_cell_mape"])))
