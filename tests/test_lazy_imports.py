"""Imports inside functions: each needs a reason. ``python tests/test_lazy_imports.py`` lists them all."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("battery_core", "flows", "tasks", "deployments")

SLOW = {
    "mlflow": "seconds to import; Trainer, --help and training jobs do not need it",
    "sqlalchemy": "only where MLflow is loaded",
    "prefect": "flows.session.prepare sets its environment first; --help must not load it",
    "torch": "seconds to import; seeding and the published protocol also run without networks",
    "tensorboard": "seconds to import; only where curves are written",
    "dvc": "seconds to import; only where data versions are written or read",
    "dvc_data": "as dvc",
    "dvc_objects": "as dvc",
    "scipy": "only where raw curves or .mat files are read",
    "pandera": "a second to import; stages without tables do not need it",
    "pyarrow": "only where Parquet files are written or read",
    "pooch": "only for downloads",
    "tqdm": "only where a terminal shows progress",
    "jinja2": "only where a page is written",
    "rich": "only where a table is printed",
    "pybamm": "optional extra simulate",
    "bdf": "optional extra cycler",
    "onnxruntime": "optional extra onnx",
}
"""Libraries that any function may import, with the reason."""

ALLOWED: dict[str, tuple[int, str]] = {
    "battery_core/cli/commands.py": (11, "a command imports its code when it runs: --help loads nothing heavy"),
    "battery_core/data/sources/charge_statistics/source.py": (1, "settings and fetch do not need the reader"),
    "battery_core/data/sources/cycler_folder/cells.py": (1, "only for cells.yaml"),
    "battery_core/data/sources/cycler_folder/source.py": (1, "settings and fetch do not need the reader"),
    "battery_core/data/sources/nasa_pcoe/source.py": (2, "settings and fetch do not need the reader"),
    "battery_core/data/splits/make.py": (4, "modules of splits and samples need one another"),
    "battery_core/data/tables/labels.py": (2, "data settings import its type: --help must not wait for pandas"),
    "battery_core/release/champion_scoring.py": (1, "its process loads the packed code of the champion first"),
    "battery_core/release/predict_packaged.py": (1, "runs with the code of a package, which is set up first"),
    "battery_core/stages/release/log_run.py": (1, "optional extra onnx"),
    "battery_core/tracking/dual_tracker.py": (1, "Trainer must not load MLflow"),
    "battery_core/training/trainer.py": (1, "torch.compile is loaded only where a setting asks for it"),
    "deployments/serve.py": (1, "the flow loads Prefect: prepare and the server come first"),
    "flows/command_line.py": (6, "--help ends before results are printed"),
    "flows/score.py": (4, "only where the result is printed"),
    "flows/cross_validate.py": (3, "only where the result is printed"),
}
"""File: most other imports inside its functions, with the reason; the numbers may only shrink."""


def lazy_imports() -> Iterator[tuple[str, int, str]]:
    """Yield file, line and module of each import statement inside a function."""
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            inside = {
                node
                for function in ast.walk(tree)
                if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
                for node in ast.walk(function)
                if isinstance(node, ast.Import | ast.ImportFrom)
            }
            for node in sorted(inside, key=lambda item: item.lineno):
                module = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                yield file.relative_to(ROOT).as_posix(), node.lineno, module or "."


def others() -> Counter[str]:
    """Return how many imports of other modules than slow libraries each file has inside functions."""
    return Counter(file for file, _, module in lazy_imports() if module.split(".")[0] not in SLOW)


def test_imports_inside_functions_have_a_reason() -> None:
    unexplained = {file: count for file, count in others().items() if count > ALLOWED.get(file, (0, ""))[0]}
    assert unexplained == {}, "move these imports to the top of the module, or add a reason"


if __name__ == "__main__":
    counts = Counter(file for file, _, _ in lazy_imports())
    for path, line, module in lazy_imports():
        print(f"{path}:{line}: {module}")
    print(f"{counts.total()} in {len(counts)} files")
