"""The model as MLflow serves it: measured rows in, SOH with its interval out. Read as code; nothing is pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from battery_core.errors import BatteryError
from battery_core.predictors.weighted_ensemble import load_predictor


class SohModel(PythonModel):
    """A fitted pipeline behind MLflow's pyfunc door."""

    def load_context(self, context: Any) -> None:
        """Read the pipeline that was packed with the model."""
        self.pipeline = load_predictor(Path(context.artifacts["pipeline"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Columns soh, soh_lower, soh_upper, in_distribution of each row, in the order of the rows.

        Args:
            context: MLflow's.
            model_input: measured columns of the signature, units in their names; the history of a cell may be given.
            params: ``details`` adds soh_spread, over an ensemble's members, and outside, the column furthest outside.

        Raises:
            MlflowException: a column is missing or in another unit, in one line; over HTTP it is status 400.
        """
        try:
            return self.pipeline.predict_interval(model_input, details=bool((params or {}).get("details", False)))
        except BatteryError as err:  # the scoring server hides what other errors say
            raise MlflowException.invalid_parameter_value(str(err)) from err


set_model(SohModel())
