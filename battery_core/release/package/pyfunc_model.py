"""Define the MLflow pyfunc model: measured rows in, SOH with its interval out. Loaded as code, without pickle."""

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
    """A fitted predictor with the pyfunc interface of MLflow."""

    def load_context(self, context: Any) -> None:
        """Load the packaged pipeline."""
        self.pipeline = load_predictor(Path(context.artifacts["pipeline"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return soh, soh_lower, soh_upper and in_distribution of each row, in the order of the rows.

        Args:
            context: context of MLflow.
            model_input: measured columns of the signature; it may contain earlier check-ups of a cell.
            params: ``details`` adds soh_spread over the members, and outside, the column furthest out of distribution.

        Raises:
            MlflowException: a column is missing or in another unit; over HTTP the status is 400.
        """
        try:
            return self.pipeline.predict_interval(model_input, details=bool((params or {}).get("details", False)))
        except BatteryError as err:  # the scoring server hides the message of other errors
            raise MlflowException.invalid_parameter_value(str(err)) from err


set_model(SohModel())
