"""Which setting wins, what a wrong one is told, and that the whole can be shown and read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from battery_core.errors import SettingsError
from battery_core.settings import all_fields, as_yaml, nested, project_root, resolve


def test_command_line_over_environment_over_file_over_default(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve().trainer.epochs == 200
    (project / "params.yaml").write_text("trainer: {epochs: 7, batch_size: 16}\n")
    assert resolve().trainer.epochs == 7
    monkeypatch.setenv("BATTERY__TRAINER__EPOCHS", "5")
    assert resolve().trainer.epochs == 5
    settings = resolve({"trainer.epochs": 3})
    assert settings.trainer.epochs == 3
    assert settings.trainer.batch_size == 16  # a section is merged setting by setting


def test_lists_are_written_with_commas_everywhere(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATTERY__MODELS", "mlp")
    monkeypatch.setenv("BATTERY__MLP__HIDDEN_DIMS", "16, 8")
    (project / "params.yaml").write_text("split: {test_temps_degC: '10,40'}\n")
    settings = resolve({"features.sets": "summary,initial_relative"})
    assert settings.models == ("mlp",)
    assert settings.mlp.hidden_dims == (16, 8)
    assert settings.split.test_temps_degC == (10.0, 40.0)
    assert settings.features.sets == ("summary", "initial_relative")
    assert resolve({"models": "lgbm,mlp,lgbm"}).models == ("lgbm", "mlp")  # a model is trained once


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"trainer.epoch": 5}, r"unknown setting 'trainer.epoch': did you mean 'trainer.epochs'"),
        ({"trianer": {"epochs": 5}}, r"unknown setting 'trianer': did you mean 'trainer'"),
        ({"zzzz": 5}, r"unknown setting 'zzzz': see --help for all names"),
        ({"trainer.epochs": "many"}, r"setting 'trainer.epochs': .*valid integer.*; got 'many'"),
        ({"trainer.learning_rate": "inf"}, r"setting 'trainer.learning_rate': .*finite number; got 'inf'"),
        ({"trainer.epochs": -1}, r"setting 'trainer.epochs': .*greater than or equal to 0; got -1"),
        ({"trainer.device": "gpu"}, r"setting 'trainer.device': .*'cpu', 'cuda' or 'mps'; got 'gpu'"),
        ({"loss.name": "hubber"}, r"unknown loss 'hubber': did you mean 'huber'\? There are: mse"),
        ({"models": "lgbm,mpl"}, r"unknown model 'mpl': did you mean 'mlp'"),
        ({"models": ""}, r"setting 'models': .*at least 1 item"),
        ({"models": "[lgbm"}, r"setting 'models': .*write a list as a,b or as \[\"a\", \"b\"\]; got '\[lgbm'"),
        ({"data.source": "xjtuu"}, r"unknown source 'xjtuu': did you mean 'xjtu'"),
        ({"features.sets": "sumary"}, r"unknown feature set 'sumary': did you mean 'summary'"),
        ({"split.strategy": "by_groups"}, r"unknown split strategy 'by_groups': did you mean 'by_group'"),
        ({"release.required_baselines": "persistance"}, r"unknown baseline 'persistance': did you mean 'persistence'"),
        ({"trainer": 5}, r"setting 'trainer': .*valid dictionary.*; got 5"),
        ({"seed": 1, "seed.x": 2}, r"setting 'seed.x': 'seed' is a value, not a section"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(project: Path, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        resolve(overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (
            "BATTERY__TRAINERS__EPOCHS",
            "5",
            r"variable BATTERY__TRAINERS__EPOCHS: unknown setting 'trainers.epochs'",
        ),
        ("BATTERY__TRAINER__EPOCH", "5", r"unknown setting 'trainer.epoch': did you mean 'trainer.epochs'"),
        ("battery__sede", "5", r"variable battery__sede: unknown setting 'sede': did you mean 'seed'"),
        ("BATTERY__SEED__X", "5", r"variable BATTERY__SEED__X: unknown setting 'seed.x'"),
        ("BATTERY__TRAINER__EPOCHS__X", "5", r"unknown setting 'trainer.epochs.x'"),
        ("BATTERY__TRAINER__EPOCHS", "many", r"setting 'trainer.epochs': .*; got 'many'"),
        ("BATTERY__TRAINER", "many", r"setting 'trainer': .*; got 'many'"),
    ],
)
def test_a_wrong_environment_variable_is_never_passed_over(
    project: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message) as caught:
        resolve()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"trainer: {epochs: [}\n", r"params.yaml is not valid YAML"),
        (b"- a\n- b\n", r"params.yaml: expected sections such as 'trainer:', found a list"),
        (b"trainer\n", r"params.yaml: expected sections such as 'trainer:', found a str"),
        (b"\xff\xfe\x00", r"params.yaml cannot be read as UTF-8 text"),
        (b"trainer: {epoch: 5}\n", r"unknown setting 'trainer.epoch'"),
        (b"trainer: 5\n", r"setting 'trainer': .*; got 5"),
    ],
)
def test_a_wrong_settings_file_is_told_in_one_line(project: Path, content: bytes, message: str) -> None:
    (project / "params.yaml").write_bytes(content)
    with pytest.raises(SettingsError, match=message) as caught:
        resolve()
    assert "\n" not in str(caught.value)


def test_an_empty_or_missing_file_leaves_the_defaults(project: Path) -> None:
    before = resolve()
    (project / "params.yaml").unlink()
    assert resolve() == before


def test_settings_are_frozen(project: Path) -> None:
    settings = resolve()
    with pytest.raises(ValueError, match="frozen"):
        settings.seed = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        settings.trainer.epochs = 1  # type: ignore[misc]


def test_what_is_shown_can_be_kept_as_the_settings_file(project: Path) -> None:
    plain = resolve()
    changed = resolve({"models": "mlp", "loss.name": "huber", "split.test_temps_degC": "10,40", "paths.data": "d"})
    (project / "params.yaml").write_text(as_yaml(changed))
    assert resolve() == changed
    assert changed != plain


def test_the_project_folder_is_found_from_below(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = project / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.delenv("BATTERY_ROOT")
    monkeypatch.chdir(below)
    assert project_root() == project.resolve()
    assert resolve().folder("artifacts") == project.resolve() / "artifacts"
    assert resolve({"paths.artifacts": "/elsewhere"}).folder("artifacts") == Path("/elsewhere")


def test_every_setting_says_what_it_means() -> None:
    silent = [name for name, field in all_fields() if not field.description]
    assert silent == []


def test_nested_takes_sections_and_dotted_names_together() -> None:
    assert nested({"trainer": {"epochs": 5}, "trainer.batch_size": 8}) == {"trainer": {"epochs": 5, "batch_size": 8}}
    assert nested({"trainer.batch_size": 8, "trainer": {"epochs": 5}}) == {"trainer": {"epochs": 5, "batch_size": 8}}


def test_the_shipped_settings_file_is_understood() -> None:
    file = Path(__file__).parents[1] / "params.yaml"
    names = {f"{s}.{k}" if isinstance(v, dict) else s for s, v in yaml.safe_load(file.read_text()).items()
             for k in (v if isinstance(v, dict) else [""])}  # fmt: skip
    assert names <= {name for name, _ in all_fields()}
