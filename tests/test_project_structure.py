"""The rules of the project: style, types, imports that only go down, and folders of a size that one can survey."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent

MOST_MODULES = 12
PACKAGES = ("battery_core", "flows", "tasks", "deployments")
MANY_BY_NATURE = ("battery_core/data/sources", "battery_core/features/sets")
"""One module or sub-package a source, one module a feature set."""
MORE_MODULES = {"battery_core": 13}
"""Folders above the limit; a number may only shrink."""

TARGET_LAYERS = """
    cli > stages > settings > reporting > release > evaluation > predictors, forecasting > training
    > models, uncertainty > features > data > tracking, jobs > artifacts
"""
"""From top to bottom; a comma stands between layers that import neither each other."""

RULES = {
    "ruff finds nothing": [sys.executable, "-m", "ruff", "check", "."],
    "types are right": [sys.executable, "-m", "mypy"],
    "imports go down": [str(Path(sys.executable).with_name("lint-imports"))],
}


@pytest.mark.parametrize("rule", RULES)
def test_rule(rule: str) -> None:
    done = subprocess.run(RULES[rule], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def modules_of(folder: Path) -> list[str]:
    """Return the modules side by side in a folder, without its entry points."""
    return sorted(file.stem for file in folder.glob("*.py") if file.stem not in ("__init__", "__main__"))


def test_a_folder_has_few_modules_side_by_side() -> None:
    crowded = {}
    for package in PACKAGES:
        for folder in [ROOT / package, *(ROOT / package).rglob("*/")]:
            name, modules = folder.relative_to(ROOT).as_posix(), modules_of(folder)
            if name not in MANY_BY_NATURE and len(modules) > MORE_MODULES.get(name, MOST_MODULES):
                crowded[name] = modules
    assert not crowded


def test_the_layers_are_those_of_the_architecture() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = [one for one in linter["contracts"] if one.get("containers") == ["battery_core"]]
    assert contract["exhaustive"]
    written = [layer.replace(" | ", ", ") for layer in contract["layers"]]
    target = [layer.strip() for layer in TARGET_LAYERS.split(">")]
    assert [layer for layer in written if layer in target] == target
    (cycles,) = [one for one in linter["contracts"] if one["type"] == "acyclic_siblings"]
    assert set(cycles["ancestors"]) >= {"battery_core", "battery_core.**", "tasks", "flows", "deployments"}


def test_every_folder_of_the_code_is_a_package() -> None:
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            assert (file.parent / "__init__.py").is_file(), file.parent


def test_the_citation_is_valid_and_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert citation["version"] == version
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_hooks_before_a_commit_run_tools_of_the_dev_extra() -> None:
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert local["repo"] == "local"
    assert [hook["id"] for hook in local["hooks"]] == ["ruff", "ruff-format", "mypy"]
    assert all(hook["entry"].startswith(".venv/bin/python -m ") for hook in local["hooks"])


def test_every_link_of_the_docs_leads_somewhere() -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE) if anchor else []
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert not anchor or anchor in slugs, f"{page.name}: {target}#{anchor}"


def test_readme_starts_with_what_it_is_for_and_both_commands_use_the_constraints() -> None:
    readme = (ROOT / "README.md").read_text()
    commands = [line for line in readme.splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)
    assert commands[0].endswith("flows/train.py")
    assert commands[1].endswith("-m pytest -n 2")
    assert readme.index("trust") < readme.index(commands[0])


def test_every_link_of_the_readme_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


def test_every_dependency_is_bounded_in_the_constraints() -> None:
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
