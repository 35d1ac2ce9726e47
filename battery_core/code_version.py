"""The version of the code behind a result: a hash of every module of this project that the code imports.

A key built from it changes when any of these modules changes. Docstrings, comments and layout do not count.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from battery_core.errors import BatteryError

_PROJECT = __name__.split(".")[0]
_ADDRESS = re.compile(r"[A-Za-z_]\w*(?:\.\w+)+(?::\w+)?")


def code_version(*entries: Callable[..., Any] | str) -> str:
    """Return one hash of the modules that the entries import, directly or through other modules.

    Args:
        entries: functions or classes that do the work, or their addresses: ``"package.module:function"`` or
            ``"package.module"``. An address is not imported.

    Raises:
        BatteryError: an entry has no source file.

    Example:
        >>> code_version("battery_core.units") == code_version("battery_core.units:convert")
        True
    """
    digest = hashlib.sha256()
    for module, file in sorted(import_closure(*entries).items()):
        digest.update(f"{module} {_content(module, file).sha256}\n".encode())
    return digest.hexdigest()


def import_closure(*entries: Callable[..., Any] | str) -> dict[str, Path]:
    """Return the modules that the entries import, each with its file; nothing is imported to find them.

    Imports count at any level, also inside functions. A string such as ``"battery_core.models.mlp:MLPModel"`` counts as
    an import: registries import by such names. Imports under ``TYPE_CHECKING`` do not count. Modules outside the
    project count only when they are in the package of an entry.

    Raises:
        BatteryError: an entry has no source file.

    Example:
        >>> sorted(import_closure("battery_core.seeding"))
        ['battery_core', 'battery_core.seeding']
    """
    modules = [entry.split(":")[0] if isinstance(entry, str) else entry.__module__ for entry in entries]
    packages = {_PROJECT, *(module.split(".")[0] for module in modules)}
    for module in modules:
        if _source_file(module) is None:
            raise BatteryError(
                f"code version: no source file of module '{module}' - give a function of an importable module, or its "
                "address such as battery_core.stages.training.train:train"
            )
    closure: dict[str, Path] = {}
    visited, waiting = set[str](), list(modules)
    while waiting:
        module = waiting.pop()
        if module in visited:
            continue
        visited.add(module)
        parent = module.rpartition(".")[0]
        if parent:  # Python runs the packages on the way too
            waiting.append(parent)
        file = _source_file(module)
        if file is not None:  # else the name of a function or class in its parent
            closure[module] = file
            waiting += [name for name in _content(module, file).imports if name.split(".")[0] in packages]
    return closure


@dataclass(frozen=True)
class _Content:
    """What counts in a source file.

    Attributes:
        imports: dotted names that it imports; the last part may be a function or class.
        sha256: of the syntax tree without docstrings, positions and what is only there for type checkers.
    """

    imports: frozenset[str]
    sha256: str


_END = object()


def _read(source: bytes, file: str, package: str) -> _Content:
    """Return what counts in a source; ``package``: what its relative imports start from.

    The tree is written node by node: kind, then fields; lists end with a mark. So two trees never look alike.
    """
    imports: set[str] = set()
    parts: list[str] = []
    waiting: list[Any] = [ast.parse(source, filename=file)]
    while waiting:
        node = waiting.pop()
        kind = node.__class__
        if kind is list:
            parts.append("[")
            waiting.append(_END)
            waiting += node
        elif kind not in _FIELDS:
            parts.append("]" if node is _END else repr(node))
        elif kind is ast.Expr and _is_string(node.value):
            continue  # a docstring, or a string below a name that explains it: Python drops it
        else:
            parts.append(kind.__name__)
            if kind is ast.Constant or kind is ast.Import or kind is ast.ImportFrom:
                imports.update(_imported(node, package))
            if kind is ast.If and _is_type_checking(node.test):
                waiting.append(node.orelse)
            elif (fields := _FIELDS[kind]) is not None:
                waiting += fields(node)
    return _Content(frozenset(imports), hashlib.sha256("\n".join(parts).encode()).hexdigest())


def _getter(kind: type[ast.AST]) -> Callable[[ast.AST], Iterable[Any]] | None:
    """Return what gets the fields of a node that have an effect: twice as quick as ``ast.iter_fields``."""
    names = [name for name in kind._fields if name not in {"ctx", "kind", "type_comment", "type_ignores"}]
    if len(names) == 1:
        return lambda node: (getattr(node, names[0]),)
    return attrgetter(*names) if names else None


_FIELDS = {kind: _getter(kind) for kind in vars(ast).values() if isinstance(kind, type) and issubclass(kind, ast.AST)}


def _imported(node: ast.AST, package: str) -> Iterable[str]:
    """Return the dotted names in an import statement, or in a string that is an address."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
        source = ".".join([*above, *([node.module] if node.module else [])])
        return [f"{source}.{alias.name}" for alias in node.names]
    text = node.value if isinstance(node, ast.Constant) else None
    return [text.split(":")[0]] if isinstance(text, str) and _ADDRESS.fullmatch(text) else []


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return bool(name == "TYPE_CHECKING")


def _is_string(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _content(module: str, file: Path) -> _Content:
    state = os.stat(file)
    return _content_of(module, file, state.st_mtime_ns, state.st_size, state.st_ino)


@cache
def _content_of(module: str, file: Path, *state: int) -> _Content:
    """Return the content of a file in one state: it is read again when its date, size or place changes."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    return _read(file.read_bytes(), str(file), package)


def _source_file(module: str) -> Path | None:
    """Return the file of a module, or None where there is no such module."""
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded is not None:
        return Path(loaded) if loaded.endswith(".py") else None
    top, *below = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # __main__ of an interactive session
        return None
    if spec is None:
        return None
    if not below and spec.origin is not None:
        return Path(spec.origin) if spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *below)
        for file in (path / "__init__.py", path.with_name(f"{path.name}.py")):
            if file.is_file():
                return file
    return None
