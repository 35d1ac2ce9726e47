"""Predictions of a packaged model with the code that was packed with it, in a separate process.

The champion's weights with today's features would be another model: the code may have changed since.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from battery_core.errors import DataError

_SCRIPT = Path(__file__).with_name("predict_packaged.py")
_NO_PICKLE = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


class ChampionScoringError(DataError):
    """A packaged model gives no predictions: it cannot be loaded, refuses the rows, or takes too long."""


@dataclass(frozen=True)
class PackagePredictions:
    """Predictions of a packaged model for raw rows.

    Args:
        model_name: name of its model.
        metadata: source, data version, SOH reference and training cells of the model.
        estimates: one line a row, with the index of the rows: soh and, unless the package is older than intervals,
            soh_lower, soh_upper, in_distribution, soh_spread, outside.
    """

    model_name: str
    metadata: Mapping[str, Any]
    estimates: pd.DataFrame

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Return the SOH of some of the predicted rows, shape (N,)."""
        soh: npt.NDArray[np.float64] = self.estimates.loc[rows.index, "soh"].to_numpy(dtype=np.float64)
        return soh


def predict_isolated(package: Path, rows: pd.DataFrame, label: str, timeout_s: float) -> PackagePredictions:
    """Predict rows with a package and the code that was packed with it, in a separate process.

    Args:
        package: folder of the model, as ``log_pipeline`` wrote it.
        rows: raw measured rows; the package reads the columns of its signature.
        label: name of the model in errors, such as "version 3".
        timeout_s: time limit, in s.

    Raises:
        ChampionScoringError: the package gives no predictions.
    """
    code = package / "code"
    if not (code / "battery_core").is_dir():
        raise ChampionScoringError(f"{label}: no code was packed with it (expected '{code}') - train again")
    with tempfile.TemporaryDirectory() as scratch:
        rows_file, predictions_file = Path(scratch) / "rows.parquet", Path(scratch) / "predictions.parquet"
        rows.reset_index(drop=True).to_parquet(rows_file)
        _run([str(package), str(rows_file), str(predictions_file)], code, Path(scratch), label, timeout_s)
        model = json.loads(predictions_file.with_suffix(".json").read_text())
        estimates = pd.read_parquet(predictions_file).set_index(rows.index)
        return PackagePredictions(model["model_name"], model["metadata"], estimates)


def _run(arguments: list[str], code: Path, folder: Path, label: str, timeout_s: float) -> None:
    """Run the process that loads the package, with its code first on the path.

    It leaves no compiled files in the package.
    """
    path = os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH")]))
    environment = os.environ | _NO_PICKLE | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", str(_SCRIPT), *arguments]  # -P: the folder of the script stays off the path
    try:
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ChampionScoringError(
            f"{label}: its package gave no predictions within {timeout_s:g} s - raise release.champion_timeout_s"
        ) from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        reason = lines[-1].removeprefix("mlflow.exceptions.MlflowException: ").strip()[:600]
        raise ChampionScoringError(f"{label}: its package gives no predictions with the code packed in it: {reason}")
