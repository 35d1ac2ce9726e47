"""Load a package and predict rows with it: run by its path in a separate process.

It imports nothing of this project, and so the only project code in that process is the code packed with the model.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mlflow.pyfunc
import pandas as pd


def main(package: str, rows_file: str, predictions_file: str) -> None:
    """Write the predictions of the rows as parquet, and the metadata of the model as JSON beside it."""
    model = mlflow.pyfunc.load_model(package)
    schema = model.metadata.get_input_schema()
    rows = pd.read_parquet(rows_file)
    inputs = rows[[name for name in schema.input_names() if name in rows]]
    doubles = [column.name for column in schema.inputs if column.type.name == "double" and column.name in rows]
    inputs = inputs.astype(dict.fromkeys(doubles, "float64"))
    predictions = pd.DataFrame(model.predict(inputs, params={"details": True}))
    predictions.reset_index(drop=True).to_parquet(predictions_file)
    predictor = model.unwrap_python_model().pipeline
    metadata = predictor.metadata if hasattr(predictor, "metadata") else predictor.facts  # ``facts`` until 0.1
    content = {"model_name": predictor.model_name, "metadata": dict(metadata)}
    Path(predictions_file).with_suffix(".json").write_text(json.dumps(content))


if __name__ == "__main__":
    main(*sys.argv[1:])
