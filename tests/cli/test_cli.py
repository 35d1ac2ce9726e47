"""The command line: one option a setting, one line an error, exit code 2 for a wrong one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from battery_core.__main__ import main
from battery_core.cli.commands import COMMANDS, Invocation, parse
from battery_core.cli.options import EXIT_FAILED, EXIT_WRONG_SETTING, parse_overrides, run_and_exit
from battery_core.errors import DataError
from battery_core.settings import all_fields, resolve


def run(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "battery_core", *arguments],
        env=os.environ | environment, cwd=project, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def leaves(*argv: str) -> int:
    """Exit code of a run in this process."""
    with pytest.raises(SystemExit) as caught:
        run_and_exit(lambda: main(argv))
    return int(str(caught.value.code))


def test_options_of_the_issue_are_understood(project: Path) -> None:
    argv = ["--loss.name", "huber", "--trainer.epochs", "50", "--data.source", "tju", "--lgbm.n_estimators=9"]
    argv += ["--models", "mlp,lgbm"]
    settings = resolve(parse_overrides(argv, "p", "d"))
    assert (settings.loss.name, settings.trainer.epochs, settings.data.source) == ("huber", 50, "tju")
    assert (settings.models, settings.lgbm.n_estimators) == (("mlp", "lgbm"), 9)


@pytest.mark.parametrize(
    "argv", [["--models", "mlp,lgbm"], ["--models", "mlp", "--models", "lgbm"], ["--models", '["mlp", "lgbm"]']]
)
def test_a_list_may_be_written_in_three_ways(project: Path, argv: list[str]) -> None:
    settings = resolve(parse_overrides([*argv, "--mlp.hidden_dims", "16,8", "--split.val_groups="], "p", "d"))
    assert (settings.models, settings.mlp.hidden_dims, settings.split.val_groups) == (("mlp", "lgbm"), (16, 8), ())


def test_only_what_is_given_overrides(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATTERY__TRAINER__EPOCHS", "5")
    monkeypatch.setenv("BATTERY__SEED", "6")
    settings = resolve(parse_overrides(["--trainer.epochs", "4"], "p", "d"))
    assert (settings.trainer.epochs, settings.seed, settings.trainer.batch_size) == (4, 6, 32)
    assert parse_overrides([], "p", "d") == {}


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["split", "--trainer.epoch", "5"], "error: unknown option '--trainer.epoch': did you mean '--trainer.epochs'"),
        (["split", "--trainer.epoch=5"], "error: unknown option '--trainer.epoch': did you mean '--trainer.epochs'"),
        (["split", "--qqqq"], "error: unknown option '--qqqq': see --help"),
        (["split", "--trainer.epochs"], "error: argument --trainer.epochs: expected one argument"),
        (["split", "--trainer.epochs", "many"], "error: setting 'trainer.epochs': "),
        (["split", "--data.source", "xjtuu"], "error: unknown source 'xjtuu': did you mean 'xjtu'"),
        (["split", "--models", "lgbm,mpl"], "error: setting 'models': unknown model 'mpl': did you mean 'mlp'"),
        (["spilt"], "error: unknown command 'spilt': did you mean 'split'"),
        (["split", "--trainer.ep", "5"], "error: unknown option '--trainer.ep'"),  # no guessing from beginnings
        (["restore", "--to", "x"], "error: restore: expected MODEL_VERSION (number, alias such as champion, or NAME"),
        (["rollback", "--to", "x"], "error: argument --to: invalid int value: 'x'"),
        (["history", "x"], "error: unknown option 'x': see --help"),
        (["simulate", "--seed", "1"], "error: simulate: expected FOLDER (folder to write the "),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line_and_code_2(
    project: Path, capsys: pytest.CaptureFixture[str], argv: list[str], line: str
) -> None:
    assert leaves(*argv) == EXIT_WRONG_SETTING
    said = capsys.readouterr()
    assert said.err.startswith(line)
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("cell 'A': no label"), EXIT_FAILED, "error: cell 'A': no label\n"),
        (PermissionError(13, "Permission denied", "/a/b"), EXIT_FAILED, "error: Permission denied: '/a/b' - check"),
        (OSError(28, "No space left on device"), EXIT_FAILED, "error: No space left on device - check"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
    ],
)
def test_what_a_person_has_to_mend_is_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    def entry() -> int:
        raise error

    with pytest.raises(SystemExit) as caught:
        run_and_exit(entry)
    assert caught.value.code == code
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        run_and_exit(lambda: 1 // 0)


def test_print_settings_shows_the_whole_and_runs_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaves("fetch", "--print-settings", "--trainer.epochs", "9", "--models", "mlp") == 0
    shown = capsys.readouterr().out
    assert list(project.iterdir()) == [project / "params.yaml"]
    assert set(yaml.safe_load(shown)) == {name.split(".")[0] for name, _ in all_fields()}
    (project / "params.yaml").write_text(shown)
    assert resolve() == resolve({"trainer.epochs": 9, "models": "mlp"})
    assert leaves("fetch", "--print-settings") == 0
    assert capsys.readouterr().out == shown


def test_help_lists_every_setting_with_unit_and_default(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaves("train", "--help-all") == 0
    text = capsys.readouterr().out
    one_line = " ".join(text.split())
    for name, field in all_fields():
        assert f"--{name} {name.rsplit('.', 1)[-1].upper()}" in text
        default = field.get_default(call_default_factory=True)
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        unit = f" [{field.json_schema_extra['unit']}]" if field.json_schema_extra["unit"] else ""
        assert f"{field.description}{unit}" in one_line
        assert f"(default: {shown})" in one_line
    assert "a training job that takes longer is killed and said so [s] (default: 3600.0)" in one_line


def test_without_a_stage_the_stages_are_listed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaves() == 2
    assert leaves("--help") == 0
    text = capsys.readouterr().out
    assert re.search(r"\n +normalize +turn raw files into checked tables\n", text)
    assert "train-job" not in text  # only a run starts it


def test_an_entry_reads_its_own_arguments_beside_the_settings(project: Path) -> None:
    argv = ["3", "--trainer.epochs", "7", "--to", "there", "--models", "mlp"]
    invocation = parse(["restore", *argv], "battery")
    assert own_arguments(invocation) == {"model_version": "3", "to": Path("there")}
    assert invocation.overrides == {"trainer.epochs": "7", "models": "mlp"}
    assert invocation.settings({"trainer.epochs": 8}).trainer.epochs == 8
    assert own_arguments(parse(["inspect", "--seed", "1"], "battery")) == {"folder": None}
    expected = {"folder": Path("x"), "seed": 0, "workers": 1}
    assert own_arguments(parse(["simulate", "x"], "battery")) == expected


def own_arguments(invocation: Invocation) -> dict[str, object]:
    names = [argument.name.strip("-[]").lower() for argument in COMMANDS[invocation.command].arguments]
    return {name: getattr(invocation.arguments, name) for name in names}


@pytest.mark.parametrize("command", [name for name, command in COMMANDS.items() if command.summary])
def test_help_of_a_command_is_short_and_names_its_own_arguments(
    project: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert leaves(command, "--help") == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 60
    for argument in COMMANDS[command].arguments:
        assert argument.name.strip("[]") in text
    shown = COMMANDS[command].settings
    if shown:
        assert set(shown.main) <= {name for name, _ in all_fields()}
        assert set(shown.sections) <= {name.split(".")[0] for name, _ in all_fields()}
        for name in shown.main:
            assert f"--{name} " in text


def test_help_lists_choices(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaves("train", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "{auto, cpu, cuda, mps}" in text
    assert "{mse, physics_informed, huber, mape, mae}" in text
    assert "{simulated, xjtu, " in text
    assert "kernel_ridge n_landmarks, length_scales" in text
    assert "leaderboard" not in text


def test_a_section_may_be_given_as_json(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "params.yaml").write_text("data: {cycler: {columns: {time_s: a, voltage_V: b, current_A: c}}}\n")
    monkeypatch.setenv("BATTERY__DATA__CYCLER__COLUMNS", '{"voltage_V": "v", "current_A": "i"}')
    argv = ["--data.cycler.columns", '{"current_A": "j"}', "--data.cycler.units.current_A", "mA"]
    cycler = resolve(parse_overrides(argv, "p", "d")).data.cycler
    assert cycler.columns.named_headers() == {"time_s": "a", "voltage_V": "v", "current_A": "j"}
    assert cycler.units.current_A == "mA"
    argv = ["--data.cycler.columns.time_s", "t", "--data.cycler.columns", '{"time_s": "u"}']
    assert resolve(parse_overrides(argv, "p", "d")).data.cycler.columns.time_s == "t"  # one setting wins over many


@pytest.mark.parametrize("text", ['{"time_s": "t"', "t", '["t"]', ""])
def test_a_section_that_is_no_json_object_is_one_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    line = f'error: setting \'data.cycler.columns\': expected a JSON object such as {{"name": "value"}}; got {text!r}\n'
    assert leaves("inspect", "--data.cycler.columns", text) == EXIT_WRONG_SETTING
    assert capsys.readouterr().err == line
    monkeypatch.setenv("BATTERY__DATA__CYCLER__COLUMNS", text)
    assert leaves("inspect") == EXIT_WRONG_SETTING
    assert capsys.readouterr().err == line


def test_an_unknown_key_in_json_is_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaves("inspect", "--data.cycler.columns", '{"time": "t"}') == EXIT_WRONG_SETTING
    assert "unknown setting 'data.cycler.columns.time': did you mean" in capsys.readouterr().err


def test_help_says_what_is_in_force_where_that_is_not_the_default(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "params.yaml").write_text("trainer: {epochs: 140}\nmodels: [kernel_ridge, mlp]\nseed: 0\n")
    monkeypatch.setenv("BATTERY__LOSS__NAME", "huber")
    assert leaves("train", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: 200; in force: 140)" in text
    assert "neural_ode} (default: lgbm,mlp; in force: kernel_ridge,mlp)" in text
    assert "(default: mse; in force: huber)" in text
    assert text.count("in force") == 3


def test_help_is_there_also_with_an_error_in_the_settings_file(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "params.yaml").write_text("trainer: {epochs: 100 %}\n")
    assert leaves("train", "--help") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "(default: 200)" in text
    assert "Values in force are not shown: setting 'trainer.epochs': " in text
    assert "got '100 %'" in text


def test_own_arguments_are_in_the_help(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaves("restore", "--help") == 0
    one_line = " ".join(capsys.readouterr().out.split())
    assert "usage: python -m battery_core restore MODEL_VERSION [--section.name value ...]" in one_line
    assert "--to TO restore below this folder" in one_line


def test_the_real_command_has_no_traceback(project: Path) -> None:
    wrong = run(project, "fetch", "--data.sourc", "xjtu")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert wrong.stderr.startswith("error: unknown option '--data.sourc': did you mean '--data.source'")
    wrong = run(project, "fetch", BATTERY__TRAINERS__EPOCHS="5")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "environment variable BATTERY__TRAINERS__EPOCHS" in wrong.stderr
    wrong = run(project, "fetch", "--data.source", "xjtu", BATTERY__DATA__REFERENCE_ROOT=str(project / "nowhere"))
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert wrong.stderr.startswith("error: source 'xjtu': no folder")
