"""``python flows/train.py`` as people type it: each mistake gets one line and the right exit code; three launches."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
WRONG_SETTING, FAILED = 2, 1


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project folder of its own."""
    shutil.copy(CHECKOUT / "params.yaml", tmp_path)
    return tmp_path


def launch(
    root: Path, *options: str, cwd: Path | None = None, program: list[str] | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the program with nothing of the developer's own around it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BATTERY", "PREFECT"))}
    clean |= {
        "BATTERY_ROOT": str(root),
        "PREFECT_HOME": str(root / "prefect"),
        "PREFECT_SERVER_API_PORT": str(free_port()),  # a server that runs on this machine is none of ours
        "COLUMNS": "200",
    }
    command = program or [sys.executable, str(CHECKOUT / "flows" / "train.py")]
    return subprocess.run(
        [*command, *options], env=clean | environment, cwd=cwd or root, capture_output=True, text=True, timeout=300
    )


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def one_line(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on standard error, after checking that it is the only one and the exit code is right."""
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert done.returncode == code, done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--trainer.epoch", "5"], "unknown option '--trainer.epoch': did you mean '--trainer.epochs'"),
        (["--epochs", "5"], "unknown option '--epochs'"),
        (["--trainer.epochs", "many"], "setting 'trainer.epochs': .*valid integer.*got 'many'"),
        (["--trainer.epochs", "-1"], "setting 'trainer.epochs': .*greater than or equal to 0.*got '-1'"),
        (["--data.source", "xjtv"], "unknown source 'xjtv': did you mean 'xjtu'"),
        (["--models", "mlq"], "unknown model 'mlq': did you mean 'mlp'"),
        (["--loss.name", "hubber"], "unknown loss 'hubber': did you mean 'huber'"),
        (["--split.strategy", "randon"], "unknown .*'randon': did you mean 'random'"),
        (["--paths.artifacts", "/proc/none/artifacts"], "paths.artifacts: .*'/proc/none/artifacts'.*--paths.artifacts"),
        (["--trainer.epochs"], "trainer.epochs.*expected one argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_option_is_one_line_before_anything_starts(root: Path, options: list[str], words: str) -> None:
    done = launch(root, *options)
    assert re.search(words, one_line(done, WRONG_SETTING))
    assert done.stdout == ""  # neither Prefect nor a server was started for it
    assert not (root / "prefect").exists()


def test_a_wrong_name_in_the_environment(root: Path) -> None:
    line = one_line(launch(root, BATTERY__TRAINR__EPOCHS="5"), WRONG_SETTING)
    assert "BATTERY__TRAINR__EPOCHS" in line
    assert "trainer.epochs" in line


def test_a_wrong_name_in_the_settings_file(root: Path) -> None:
    with (root / "params.yaml").open("a") as file:
        file.write("\nreleas:\n  min_improvement: 0.1\n")
    assert "unknown setting 'releas': did you mean 'release'" in one_line(launch(root), WRONG_SETTING)


def test_a_folder_that_cannot_be_written_to(root: Path) -> None:
    (root / "artifacts").write_text("a file where a folder should be")
    assert "paths.artifacts: expected a folder that can be written to" in one_line(launch(root), WRONG_SETTING)


def test_a_server_that_was_asked_for_by_name_and_does_not_answer(root: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    line = one_line(launch(root, PREFECT_API_URL=url), WRONG_SETTING)
    assert f"no Prefect server answers at {url}" in line
    assert "unset it" in line


def test_help_lists_every_setting_with_its_default_and_what_is_in_force(root: Path) -> None:
    assert len(launch(root, "--help").stdout.splitlines()) <= 70
    done = launch(root, "--help-all")
    assert done.returncode == 0
    assert done.stderr == ""
    assert re.search(r"--trainer\.epochs EPOCHS .*\(default: 200; in force: 140\)", done.stdout)
    assert re.search(r"--jobs\.timeout_s TIMEOUT_S .*\[s\] \(default: 3600\.0\)", done.stdout)
    assert not (root / "prefect").exists()


def test_print_settings_can_be_kept_as_a_settings_file(root: Path) -> None:
    shown = launch(root, "--print-settings", "--trainer.epochs", "7")
    assert "epochs: 7" in shown.stdout
    (root / "params.yaml").write_text(shown.stdout)
    assert launch(root, "--print-settings").stdout == shown.stdout


def test_an_error_in_the_data_ends_with_one_line_and_code_1(root: Path) -> None:
    (root / "empty").mkdir()
    done = launch(root, "--data.source", "xjtu", "--data.reference_root", str(root / "empty"))
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == FAILED, done.stderr
    assert len(said) == 1
    assert str(root / "empty") in said[0]
    assert done.stderr.rstrip().endswith(said[0])  # the last thing one reads
    assert "Traceback" not in done.stdout + done.stderr
    assert "View at" not in done.stdout + done.stderr  # the temporary server has no pages


def test_launched_from_another_folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = launch(root, "--print-settings", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert list(elsewhere.iterdir()) == []


def test_launched_from_the_checkout(root: Path) -> None:
    done = launch(root, "--trainer.epoch", "5", cwd=CHECKOUT, program=[sys.executable, "flows/train.py"])
    assert "did you mean '--trainer.epochs'" in one_line(done, WRONG_SETTING)


def test_loaded_as_a_worker_does(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A worker puts flows/ first on the path: no file there may take the place of a library."""
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from prefect.flows import load_flow_from_entrypoint\n"
        "print(load_flow_from_entrypoint(sys.argv[2]).name)\n"
    )
    flows = CHECKOUT / "flows"
    done = launch(
        root, "-c", program, str(flows), f"{flows / 'train.py'}:train",
        cwd=tmp_path_factory.mktemp("worker"), program=[sys.executable],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["train"]
    shadowed = {file.stem for file in flows.glob("*.py")} & set(sys.stdlib_module_names)
    assert not shadowed
