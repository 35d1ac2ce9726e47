"""Run by its path in a process of its own: a package is loaded as whoever serves it loads it, and asked for rows.

Nothing of ours is imported here: the only code of this house in that process is what travelled with the model.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(package: str, rows_file: str, answers_file: str) -> None:
    """Write what the package says of the rows as parquet, and what is known of its model as JSON beside it."""
    import mlflow.pyfunc
    import pandas as pd

    model = mlflow.pyfunc.load_model(package)
    schema = model.metadata.get_input_schema()
    rows = pd.read_parquet(rows_file)
    given = rows[[name for name in schema.input_names() if name in rows]]
    doubles = [column.name for column in schema.inputs if column.type.name == "double" and column.name in rows]
    said = pd.DataFrame(model.predict(given.astype(dict.fromkeys(doubles, "float64")), params={"details": True}))
    said.reset_index(drop=True).to_parquet(answers_file)
    served = model.unwrap_python_model().pipeline
    metadata = served.metadata if hasattr(served, "metadata") else served.facts  # packages of version 0.1 have facts
    about = {"model_name": served.model_name, "facts": dict(metadata)}
    Path(answers_file).with_suffix(".json").write_text(json.dumps(about))


if __name__ == "__main__":
    main(*sys.argv[1:])
