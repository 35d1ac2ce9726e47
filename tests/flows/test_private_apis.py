"""Private APIs are listed, are still there, and their list names the versions that pyproject.toml allows."""

from __future__ import annotations

import importlib
import inspect
import tomllib
from functools import reduce
from pathlib import Path

import pytest

from flows.private_apis import PRIVATE_APIS, PrivateApi

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("api", PRIVATE_APIS, ids=lambda api: api.address)
def test_it_exists_in_the_versions_that_may_be_installed(api: PrivateApi) -> None:
    module, _, name = api.address.partition(":")
    function = reduce(getattr, name.split("."), importlib.import_module(module))
    assert list(inspect.signature(function).parameters) == ["self"]
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert f"{api.library}{api.versions}" in dependencies


def test_no_other_private_name_of_prefect_is_used() -> None:
    names = {api.address.rpartition(".")[2] for api in PRIVATE_APIS}
    source = (ROOT / "flows" / "session.py").read_text()
    assert all(name in source for name in names)
    assert "parser._" not in "".join(file.read_text() for file in (ROOT / "battery_core" / "cli").glob("*.py"))
