"""The version of the code: every module that shapes a result is in its key, and nothing that only explains."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grimp
import pytest

import battery_core
from battery_core.code_version import code_version, import_closure
from battery_core.errors import BatteryError
from battery_core.jobs import JobSpec
from battery_core.stages.data.normalize import normalize
from battery_core.stages.release.promote import promote
from battery_core.stages.training.ensemble import build_ensemble
from battery_core.stages.training.job_specs import job_specs
from battery_core.stages.training.train import train

PACKAGE = Path(battery_core.__file__).parent


def run_python(script: str, *args: str, path: Path = PACKAGE.parent) -> Any:
    """What a script prints as JSON, in a fresh process."""
    environment = os.environ | {"PYTHONPATH": str(path)}
    done = subprocess.run(
        [sys.executable, "-c", script, *args], env=environment, cwd=path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


TRAIN = """
import json, sys
from battery_core.jobs import JobSpec
from battery_core.stages.training.train import train
for text in sys.argv[1:]:
    train(JobSpec(**json.loads(text)))
print(json.dumps([name for name in sys.modules if name.split(".")[0] == "battery_core"]))
"""


def test_every_module_that_a_training_job_imports_is_in_its_key(prepared, tmp_path: Path) -> None:
    specs = [asdict(spec) for spec in job_specs(prepared.settings, prepared.tables, prepared.split)]
    assert [spec["model"] for spec in specs] == ["lgbm", "mlp"]
    imported = set(run_python(TRAIN, *[json.dumps(spec | {"runs": str(tmp_path)}) for spec in specs]))
    assert {"battery_core.models.lgbm", "battery_core.training.trainer", "battery_core.seeding"} <= imported
    assert not imported - import_closure(train).keys()


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("battery_core", exclude_type_checking_imports=True, cache_dir=None)


@pytest.mark.parametrize("entry", [train, build_ensemble, normalize, promote])
def test_the_closure_has_all_that_the_linter_of_imports_finds(
    graph: grimp.ImportGraph, entry: Callable[..., Any]
) -> None:
    assert not graph.find_upstream_modules(entry.__module__) - import_closure(entry).keys()


def test_what_registries_import_by_name_is_in_the_key() -> None:
    closure = import_closure(train)
    lazy = ("models.neural_ode", "training.losses.physics", "features.sets.dva", "data.sources.nasa_pcoe")
    assert {f"battery_core.{name}" for name in lazy} <= closure.keys()
    assert "battery_core.stages.training.candidate" in closure


def test_keys_of_data_leave_models_out_and_keys_of_training_the_settings_and_the_command_line() -> None:
    packages = {name.split(".")[1] for name in import_closure(normalize) if "." in name}
    assert "data" in packages
    assert not packages & {"models", "training", "features", "evaluation", "release", "tracking", "settings", "cli"}
    packages = {name.split(".")[1] for name in import_closure(train) if "." in name}
    assert not packages & {"settings", "cli", "entry", "release"}
    assert "battery_core.evaluation.metrics.scores" not in import_closure(train)


EDIT = """
import json, sys
from pathlib import Path
import battery_core
from battery_core.code_version import code_version

here = Path(battery_core.__file__).parent
assert here == Path.cwd() / "battery_core"
def versions():
    entries = {"train": "stages.training.train:train", "normalize": "stages.data.normalize"}
    entries |= {"release": "release.retrain_key:retrain_key"}
    return {key: code_version(f"battery_core.{entry}") for key, entry in entries.items()}
rows = [versions()]
for name, old, new in json.loads(sys.argv[1]):
    text = (here / name).read_text()
    assert old in text, (name, old)
    (here / name).write_text(text.replace(old, new, 1))
    rows.append(versions())
print(json.dumps(rows))
"""


TRAINS, READS, RELEASES = "train", "normalize", "release"
ADD = ("from __future__", "VALUE = 1\nfrom __future__")
EDITS = [
    ("stages/training/train.py", '"""Run one', '"""Execute one', set()),
    ("stages/training/train.py", "import time\n", "# why\n\n\nimport time  # for the report\n", set()),
    ("models/mlp.py", '"""', '"""Words. ', set()),
    ("training/fitting.py", '"""Fit any', '"""Train any', set()),
    ("data/registries.py", '"""Registries of', '"""Tables of', set()),
    ("stages/training/candidate.py", *ADD, {TRAINS, RELEASES}),
    ("evaluation/metrics/per_cell.py", *ADD, {TRAINS, RELEASES}),
    ("models/mlp.py", *ADD, {TRAINS, RELEASES}),
    ("models/mlp.py", "VALUE = 1", "VALUE = 2", {TRAINS, RELEASES}),
    ("training/losses/physics.py", *ADD, {TRAINS, RELEASES}),
    ("seeding.py", *ADD, {TRAINS, READS, RELEASES}),
    ("data/ingest/table_writer.py", *ADD, {READS}),
    ("evaluation/metrics/scores.py", *ADD, {RELEASES}),
    ("evaluation/metrics/scores.py", *reversed(ADD), {RELEASES}),
]


def test_an_edit_changes_the_keys_of_what_it_shapes(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "battery_core", ignore=shutil.ignore_patterns("*.zip", "__pycache__"))
    rows = run_python(EDIT, json.dumps([edit[:3] for edit in EDITS]), path=tmp_path)
    for (name, *_, expected), before, after in zip(EDITS, rows, rows[1:], strict=False):
        assert {key for key in after if after[key] != before[key]} == expected, name
    assert rows[-1] == rows[-3]  # an edit taken back


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package with one module for each way to import."""
    folder = tmp_path / "ways_to_import"
    sources = {
        "__init__.py": "",
        "work.py": (
            "from typing import TYPE_CHECKING\n"
            "from . import beside\n"
            "from .deep.inner import value\n"
            "if TYPE_CHECKING:\n    from ways_to_import import types_alone\n"
            "else:\n    from ways_to_import import at_run_time\n"
            "TABLE = {'name': 'ways_to_import.lazy:Class'}\n"
            "def work():\n    import ways_to_import.in_a_function as x\n    from ways_to_import import as_a_name\n"
        ),
        "deep/__init__.py": "from .. import of_the_package\n",
        "deep/inner.py": "from ..above import f as g\nvalue = 1\n",
        "above.py": "from ways_to_import.work import work\ndef f(): 'does this'\n",
        "notes.txt": "no code",
    }
    alone = ("beside", "types_alone", "at_run_time", "lazy", "in_a_function", "as_a_name", "of_the_package", "unused")
    for name, text in (sources | {f"{name}.py": "a = 1\n" for name in alone}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    assert not [name for name in sys.modules if name.startswith("ways_to_import")]  # nothing was imported to look


def test_every_way_to_import_counts(package: Path) -> None:
    names = ("work", "beside", "deep", "deep.inner", "above", "at_run_time", "lazy", "in_a_function", "as_a_name")
    expected = {"ways_to_import", *(f"ways_to_import.{name}" for name in (*names, "of_the_package"))}
    assert import_closure("ways_to_import.work:work").keys() == expected
    assert import_closure("ways_to_import.work") == import_closure("ways_to_import.above")


@pytest.mark.parametrize("name", ["work", "lazy", "deep/__init__", "above"])
def test_a_source_that_changes_while_the_process_lives_is_another_code(package: Path, name: str) -> None:
    file, before = package / f"{name}.py", code_version("ways_to_import.work")
    text = file.read_text()
    file.write_text(f'"""What it is for."""\n\n# why\n{text}')
    assert code_version("ways_to_import.work") == before
    file.write_text(f"{text}b = 2\n")
    changed = code_version("ways_to_import.work")
    file.write_text(f"{text}b = 2.0\n")
    assert len({before, changed, code_version("ways_to_import.work")}) == 3


def test_what_is_not_imported_changes_nothing(package: Path) -> None:
    before = code_version("ways_to_import.work")
    (package / "notes.txt").write_text("other words")
    for name in ("unused", "types_alone"):
        (package / f"{name}.py").write_text("a = 2\n")
    assert code_version("ways_to_import.work") == before
    (package / "above.py").write_text((package / "above.py").read_text().replace("'does this'", "'does that'"))
    assert code_version("ways_to_import.work") == before


def test_a_function_may_be_given_itself_also_of_a_module_outside_the_project() -> None:
    assert code_version(train) == code_version("battery_core.stages.training.train:train") != code_version(normalize)
    own = import_closure(run_python)
    assert own[__name__] == Path(__file__)
    assert "battery_core.stages.training.train" in own


def test_an_entry_without_a_source_says_so() -> None:
    with pytest.raises(BatteryError, match=r"no source file of module 'battery_core\.nowhere' - give"):
        code_version("battery_core.nowhere:work")
    with pytest.raises(BatteryError, match="no source file of module 'builtins'"):
        code_version(len)


def test_every_entry_that_is_given_as_text_is_there() -> None:
    import importlib
    import re

    addresses = [
        match
        for file in sorted(PACKAGE.rglob("*.py"))
        if "code_version(" in (text := file.read_text())
        for match in re.findall(r'"(battery_core\.[\w.]+):(\w+)"', text)
    ]
    assert ("battery_core.stages.release.promote", "promote") in addresses
    for module, name in addresses:
        assert callable(getattr(importlib.import_module(module), name))


def test_equal_code_gives_equal_keys_in_every_process(prepared) -> None:
    spec: JobSpec = job_specs(prepared.settings, prepared.tables, prepared.split)[0]
    script = "import json; from battery_core.code_version import code_version as c; print(json.dumps(c({!r})))"
    assert run_python(script.format("battery_core.stages.training.train")) == spec.code
