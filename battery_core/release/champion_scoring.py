"""The model in service, asked as it serves: its own package, weights and code, in a process of its own.

Today's features with the champion's weights would be a model that never served: the code may have changed since.
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
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from battery_core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_ASKS = Path(__file__).with_name("predict_packaged.py")
_NO_PICKLE = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


class ChampionScoringError(DataError):
    """The model in service gives no answer: it cannot be loaded, refuses the rows, or takes too long."""


@dataclass(frozen=True)
class PackagePredictions:
    """What a package said of raw rows.

    Args:
        model_name: name of its model.
        facts: what a reader of the model must know: source, data version, cells it has seen, SOH reference.
        estimates: a line for each row, with the index of the rows: soh and, unless the package is older than
            intervals, soh_lower, soh_upper, in_distribution, soh_spread, outside.
    """

    model_name: str
    facts: Mapping[str, Any]
    estimates: pd.DataFrame

    def predict(self, rows: pd.DataFrame) -> npt.NDArray[np.float64]:
        """SOH of some of the rows that were asked for, shape (N,)."""
        soh: npt.NDArray[np.float64] = self.estimates.loc[rows.index, "soh"].to_numpy(dtype=np.float64)
        return soh


def ask(package: Path, rows: pd.DataFrame, who: str, timeout_s: float) -> PackagePredictions:
    """Have the rows predicted by a package with the code that was packed with it.

    Args:
        package: folder of the model, as ``log_pipeline`` had it written.
        rows: raw measured rows; the package takes the columns of its signature.
        who: how to call it in an error, such as "version 3".
        timeout_s: how long it may take, in s.

    Raises:
        NotServedError: the package gives no answer.
    """
    import pandas as pd

    code = package / "code"
    if not (code / "battery_core").is_dir():
        raise ChampionScoringError(f"{who}: no code was packed with it (expected '{code}') - train anew")
    with tempfile.TemporaryDirectory() as scratch:
        given, said = Path(scratch) / "rows.parquet", Path(scratch) / "answers.parquet"
        rows.reset_index(drop=True).to_parquet(given)
        _run([str(package), str(given), str(said)], code, Path(scratch), who, timeout_s)
        about = json.loads(said.with_suffix(".json").read_text())
        return PackagePredictions(about["model_name"], about["facts"], pd.read_parquet(said).set_index(rows.index))


def _run(arguments: list[str], code: Path, folder: Path, who: str, timeout_s: float) -> None:
    """The process that loads the package, with its code first on the path.

    It leaves no compiled files in the package.
    """
    path = os.pathsep.join(filter(None, [str(code), os.environ.get("PYTHONPATH")]))
    environment = os.environ | _NO_PICKLE | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", str(_ASKS), *arguments]  # -P: this room's files stay off the path
    try:
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise ChampionScoringError(
            f"{who}: no answer from its package within {timeout_s:g} s - raise release.champion_timeout_s"
        ) from None
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
        why = lines[-1].removeprefix("mlflow.exceptions.MlflowException: ").strip()[:600]
        raise ChampionScoringError(f"{who}: its package with the code packed in it gives no answer: {why}")
