"""The model as MLflow serves it: raw measured rows in, SOH out. MLflow reads this file as code; nothing is pickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

from battery_core.models.pipeline import Pipeline


class SohModel(PythonModel):
    """A fitted pipeline behind MLflow's pyfunc door."""

    def load_context(self, context: Any) -> None:
        """Read the pipeline that was packed with the model."""
        self.pipeline = Pipeline.load(Path(context.artifacts["pipeline"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """SOH of each row, in the order of the rows.

        Args:
            context: MLflow's.
            model_input: measured columns of the signature, units in their names; the history of a cell may be given.
            params: none are used.
        """
        return pd.DataFrame({"soh": self.pipeline.predict(model_input)}, index=model_input.index)


set_model(SohModel())
