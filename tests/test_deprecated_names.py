"""Old names of settings, values and commands work for one release, and each use prints the new name once."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import pytest

from battery_core import deprecated_names
from battery_core.__main__ import main
from battery_core.cli.options import parse_overrides
from battery_core.deprecated_names import COMMANDS, SETTINGS, VALUES
from battery_core.errors import SettingsError
from battery_core.settings import all_fields, resolve, sections


@pytest.fixture(autouse=True)
def nothing_announced(project: Path) -> Iterator[None]:
    deprecated_names._announce.cache_clear()
    yield
    deprecated_names._announce.cache_clear()


def test_every_new_name_is_a_setting_and_no_old_one_is() -> None:
    names = {name for name, _ in all_fields()} | set(sections())
    assert set(SETTINGS.values()) <= names
    assert not set(SETTINGS) & names
    assert set(VALUES) <= names


@pytest.mark.parametrize("name", [name for name, new in SETTINGS.items() if "." in name and new != "trainer.backend"])
def test_an_old_setting_works_in_every_source(
    name: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    default = resolve()
    value = _other_value(attrgetter(SETTINGS[name])(default))
    changed = resolve({SETTINGS[name]: value})
    assert changed != default
    section, key = name.split(".")
    assert resolve(parse_overrides([f"--{name}", value], "p", "d")) == changed
    assert resolve(parse_overrides([f"--{name}={value}"], "p", "d")) == changed
    assert resolve({name: value}) == changed
    assert resolve({section: {key: value}}) == changed
    (project / "params.yaml").write_text(f"{section}:\n  {key}: '{value}'\n")
    assert resolve() == changed
    (project / "params.yaml").write_text("")
    monkeypatch.setenv(f"BATTERY__{section.upper()}__{key.upper()}", value)
    assert resolve() == changed
    lines = [line for line in capsys.readouterr().err.splitlines() if "'drift'" not in line]
    new = SETTINGS[name]
    assert sorted(lines) == sorted(
        [
            f"warning: --{name} is deprecated: use --{new}",
            f"warning: '{name}' is deprecated: use '{new}'",
            f"warning: {_variable(name)} is deprecated: use {_variable(new)}",
        ]
    )


def _variable(name: str) -> str:
    return f"BATTERY__{name.upper().replace('.', '__')}"


def _other_value(value: object) -> str:
    """Return text for another value of the same kind."""
    if isinstance(value, bool):
        return str(not value).lower()
    if isinstance(value, tuple):
        return "1.0,2.0" if isinstance(value[0], float) else "drift" if value == ("auto",) else ""
    return "0.5" if isinstance(value, float) else "7"


def test_a_setting_without_a_row_moves_with_its_section(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = resolve({"blend.enabled": False, "validation": {"folds": 3}, "kernel.linear": 0.0})
    assert not settings.ensemble.enabled
    assert settings.cross_validation.folds == 3
    assert settings.kernel_ridge.linear == 0.0
    assert "'validation.folds' is deprecated: use 'cross_validation.folds'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "values"),
    [({"models": "kernel,lgbm"}, ("kernel_ridge", "lgbm")), ({"models": ["kernel"]}, ("kernel_ridge",))],
)
def test_an_old_model_name_is_replaced(
    project: Path, capsys: pytest.CaptureFixture[str], overrides: dict[str, object], values: tuple[str, ...]
) -> None:
    assert resolve(overrides).models == values
    assert capsys.readouterr().err == "warning: 'models': 'kernel' is deprecated: use 'kernel_ridge'\n"


def test_old_feature_sets_are_replaced(project: Path) -> None:
    features = resolve({"features.sets": "summary,trend", "features.past": ["drift", "lifetime"]}).features
    assert features.sets == ("summary", "recent_change")
    assert features.history_sets == ("early_deviation", "expanding_mean")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"blend.enabled": 1, "ensemble.enabled": 0}, "'blend.enabled' is the old name of 'ensemble.enabled': remove"),
        ({"models": "kernel,kernel_ridge"}, "'models': 'kernel' is the old name of 'kernel_ridge': remove 'kernel'"),
        ({"blend.enable": 1}, "unknown setting 'ensemble.enable': did you mean 'ensemble.enabled'"),
    ],
)
def test_both_names_are_refused_in_one_line(project: Path, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        resolve(overrides)
    assert "\n" not in str(caught.value)


def test_both_names_are_refused_on_the_command_line_and_in_the_environment(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match=r"--blend.enabled is the old name of --ensemble.enabled"):
        parse_overrides(["--blend.enabled", "false", "--ensemble.enabled=true"], "p", "d")
    monkeypatch.setenv("BATTERY__BLEND__ENABLED", "false")
    monkeypatch.setenv("BATTERY__ENSEMBLE__ENABLED", "false")
    with pytest.raises(SettingsError, match="BATTERY__BLEND__ENABLED is the old name of BATTERY__ENSEMBLE__ENABLED"):
        resolve()


def test_a_stronger_source_wins_whatever_name_it_uses(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "params.yaml").write_text("ensemble: {min_weight: 0.2}\n")
    monkeypatch.setenv("BATTERY__BLEND__LEAST_SHARE", "0.3")
    assert resolve().ensemble.min_weight == 0.3
    assert resolve({"ensemble.min_weight": 0.4}).ensemble.min_weight == 0.4


@pytest.mark.parametrize("command", COMMANDS)
def test_an_old_command_runs_the_new_one(command: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr()
    assert shown.err == f"warning: command '{command}' is deprecated: use '{COMMANDS[command]}'\n"
    assert f"usage: python -m battery_core {COMMANDS[command]} " in shown.out


def test_help_shows_only_new_names(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = capsys.readouterr().out
    assert not [name for name in SETTINGS if f"--{name}" in shown.split()]


@pytest.mark.parametrize(
    ("name", "value", "backend"),
    [
        ("trainer.direct_gradients", "true", "auto"),
        ("trainer.direct_gradients", "false", "eager"),
        ("trainer.compile", "True", "compiled"),
        ("trainer.compile", "false", "auto"),
    ],
)
def test_an_old_switch_takes_its_old_values(name: str, value: str, backend: str, project: Path) -> None:
    assert resolve({name: value}).trainer.backend == backend
    assert resolve({name: value == "True" or value == "true"}).trainer.backend == backend
    assert resolve(parse_overrides([f"--{name}", value], "p", "d")).trainer.backend == backend
    assert resolve(parse_overrides([f"--{name}={value}"], "p", "d")).trainer.backend == backend
    key = name.split(".")[1]
    (project / "params.yaml").write_text(f"trainer:\n  {key}: {value.lower()}\n")
    assert resolve().trainer.backend == backend
