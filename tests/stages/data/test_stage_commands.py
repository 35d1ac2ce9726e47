"""``python -m battery_core`` on small XJTU cells, in this process: one line, the right code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from battery_core.__main__ import main
from battery_core.cli.options import run_and_exit
from battery_core.stages import run_stage


@pytest.fixture
def by_hand(project: Path, tmp_path: Path, write_xjtu: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    """Runs ``python -m battery_core`` on small XJTU cells: exit code, standard output, standard error."""
    root = write_xjtu(tmp_path / "reference", rows=3)

    def run(stage: str, *argv: str) -> tuple[object, str, str]:
        options = ("--data.source", "xjtu", "--data.reference_root", str(root), *argv)
        with pytest.raises(SystemExit) as caught:
            run_and_exit(lambda: main([stage, *options]))
        return caught.value.code, *capsys.readouterr()

    return run


def test_by_hand_the_stages_follow_each_other(by_hand, project: Path) -> None:
    for stage, words in (("fetch", "12 files"), ("normalize", "the first version"), ("split", "frozen")):
        code, out, err = by_hand(stage)
        assert (code, err) == (0, "")
        assert out.startswith(f"{stage}: ")
        assert out.endswith(f"{words}\n")
        assert by_hand(stage)[1].endswith("skipped\n")
    assert (project / "splits" / "xjtu.json").is_file()


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (("fetch", "--data.source", "xjtuu"), 2, "unknown source 'xjtuu': did you mean 'xjtu'?"),
        (("fetch", "--data.reference_root", "/nowhere"), 1, "source 'xjtu': no folder '/nowhere/pinn4soh/XJTU data'"),
        (("normalize",), 1, "normalize: no raw data of 'xjtu' in"),
        (("split",), 1, "table 'cells': no "),
        (("fetch", "--paths.data", "/proc/nowhere"), 1, "'/proc/nowhere' - check that the folder exists and is writ"),
        (("fetch", "--paths.data", "params.yaml"), 1, "Not a directory: '"),
        (("train",), 1, "train: no tables of 'xjtu' in "),
        (("ensemble",), 1, "run the stage normalize first"),
        (("select",), 1, "xjtu-by-hand/evaluation.json' - run the stage evaluate first"),
        (("promote",), 1, "run the stage normalize first"),
    ],
)
def test_by_hand_what_goes_wrong_is_one_line(by_hand, argv: tuple[str, ...], code: int, message: str) -> None:
    got, out, err = by_hand(*argv)
    assert (got, out) == (code, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("stage", "option"), [("split", "--paths.splits"), ("train", "--paths.artifacts")])
@pytest.mark.parametrize("place", ["/proc/nowhere", "params.yaml"])
def test_a_folder_that_cannot_be_written_is_one_line(by_hand, stage: str, option: str, place: str) -> None:
    for before in ("fetch", "normalize", "split"):
        by_hand(before)
    code, _, err = by_hand(stage, option, place)
    assert code == 1
    assert err.count("\n") == 1
    assert err.startswith("error: ")
    assert "check that the folder exists and is writable" in err


@pytest.mark.parametrize(
    ("stage", "needed"),
    [
        ("ensemble", "train"),
        ("evaluate", "ensemble"),
        ("report", "select"),
        ("compare", "select"),
        ("promote", "compare"),
    ],
)
def test_a_stage_names_the_stage_that_has_to_run_before_it(by_hand, stage: str, needed: str) -> None:
    for before in ("fetch", "normalize", "split"):
        by_hand(before)
    code, out, err = by_hand(stage)
    assert (code, out) == (1, "")
    assert err.startswith(f"error: {stage}: no ")
    assert err.endswith(f" - run the stage {needed} first\n")


def test_a_stage_uses_what_is_there_and_runs_no_earlier_one(
    prepared, trained: list[dict[str, Any]], tmp_path: Path, new_store: Callable[[Path], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    tracking = prepared.settings.tracking.model_copy(update={"mlflow_uri": new_store(tmp_path)})
    settings = prepared.settings.model_copy(update={"tracking": tracking})
    monkeypatch.setenv("BATTERY_ROOT", str(tmp_path))
    ran: list[str] = []
    for name in ("fetch", "normalize", "split", "run_job", "ensemble", "evaluate", "select", "report", "compare"):
        stage = getattr(run_stage, name)
        monkeypatch.setattr(
            run_stage, name, lambda *given, name=name, stage=stage: (ran.append(name), stage(*given))[1]
        )
    for name in ("ensemble", "evaluate", "select", "report", "compare", "promote"):
        assert list(run_stage.run_stage(name, settings))[-1].startswith(f"{name}: ")
    assert ran == ["ensemble", "evaluate", "select", "report", "compare"]
