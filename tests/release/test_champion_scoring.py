"""When the model in service gives no answer: one line says why, and nothing waits for ever."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from battery_core.release import champion_scoring
from battery_core.release.champion_scoring import ChampionScoringError, predict_isolated

ROWS = pd.DataFrame({"cell_id": ["A", "A"], "checkup_index": [0, 1]})


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package that has code and nothing else."""
    (tmp_path / "package" / "code" / "battery_core").mkdir(parents=True)
    return tmp_path / "package"


def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """What runs in the process of its own instead of MLflow, which takes seconds to import."""
    (tmp_path / "script.py").write_text(code)
    monkeypatch.setattr(champion_scoring, "_SCRIPT", tmp_path / "script.py")


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import worn_out", "predictions with the code packed in it: ModuleNotFoundError: No module named 'worn_out'$"),
        ("raise RuntimeError('first line\\nlast line')", "predictions with the code packed in it: last line$"),
        (
            "import sys; sys.exit('mlflow.exceptions.MlflowException: no column x_V')",
            "predictions with the code packed in it: no column x_V$",
        ),
        ("import os; os._exit(9)", "predictions with the code packed in it: exit code 9$"),
    ],
)
def test_what_went_wrong_is_said_in_one_line(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    process(tmp_path, monkeypatch, code)
    with pytest.raises(ChampionScoringError, match=f"^version 3: its package gives no {why}"):
        predict_isolated(package, ROWS, "version 3", 60)


def test_a_package_that_takes_too_long_is_stopped(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process(tmp_path, monkeypatch, "import time; time.sleep(60)")
    with pytest.raises(
        ChampionScoringError,
        match=r"^version 3: its package gave no predictions within 0.3 s - raise release.champion_timeout",
    ):
        predict_isolated(package, ROWS, "version 3", 0.3)


def test_without_its_own_code_a_package_is_not_asked_with_ours(tmp_path: Path) -> None:
    with pytest.raises(
        ChampionScoringError, match=r"^version 3: no code was packed with it \(expected '.*code'\) - train"
    ):
        predict_isolated(tmp_path, ROWS, "version 3", 60)


def test_its_code_is_first_on_the_path_and_pickle_is_off(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    process(
        tmp_path,
        monkeypatch,
        "import os, sys; sys.exit(repr((sys.path[:2], os.environ['MLFLOW_ALLOW_PICKLE_DESERIALIZATION'])))",
    )
    with pytest.raises(ChampionScoringError) as caught:
        predict_isolated(package, ROWS, "version 3", 60)
    assert str(caught.value).endswith(repr(([str(package / "code"), "/elsewhere"], "false")))
