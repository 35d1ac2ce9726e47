"""The rules of the house: style, types, and imports that only go down."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

RULES = {
    "ruff finds nothing": [sys.executable, "-m", "ruff", "check", "."],
    "types are right": [sys.executable, "-m", "mypy"],
    "imports go down": [str(Path(sys.executable).with_name("lint-imports"))],
}


@pytest.mark.parametrize("rule", RULES)
def test_rule(rule: str) -> None:
    done = subprocess.run(RULES[rule], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_starts_with_what_it_is_for_and_both_commands_use_the_constraints() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = [line for line in readme.splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)
    assert commands[0].endswith("flows/train.py")
    assert commands[1].endswith("-m pytest -n 2")
    assert readme.index("trust") < readme.index(commands[0])


def test_every_link_of_the_readme_leads_somewhere() -> None:
    import re

    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def test_every_dependency_is_bounded_in_the_constraints() -> None:
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + [r for extra in project["optional-dependencies"].values() for r in extra]
    pinned = {
        Requirement(line).name.lower().replace("_", "-"): Requirement(line)
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    for text in needed:
        requirement = Requirement(text)
        name = requirement.name.lower().replace("_", "-")
        assert name in pinned, f"{name} is not in constraints.txt"
        version = str(pinned[name].specifier).removeprefix("==")
        assert requirement.specifier.contains(version), f"{text} does not admit {version}"
