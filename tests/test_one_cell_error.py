"""One implementation of the percentage error of SOH: a search of the sources that fails when a second one appears."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SEARCHED = ("battery_core", "flows", "tasks", "deployments", "tests/benchmarks")
ALLOWED = {
    "battery_core/cell_errors.py": 1,  # the implementation
    "battery_core/training/losses/basic.py": 1,  # a training loss: torch, differentiable
    "battery_core/data/sources/lgm50t/curves.py": 1,  # capacity of two files of one check-up, no prediction
    "tests/benchmarks/forecast.py": 1,  # error of a forecast life, not of SOH
}
LABELS = {"soh", "measured", "y", "y_true", "y_val", "true", "truth", "actual", "label", "labels", "target", "targets"}
PASSED_OVER = {"fillna", "where", "replace", "astype", "to_numpy", "reset_index", "clip", "rename"}
MODULES = {"np", "numpy", "torch", "pd", "pandas", "math", "operator"}
ABSOLUTE = {"abs", "absolute", "fabs"}
OPERATIONS = {"div": "/", "truediv": "/", "divide": "/", "true_divide": "/", "sub": "-", "subtract": "-"}
SKLEARN = "mean_absolute_percentage_error"
Names = Mapping[str, ast.expr]


def found(source: str) -> list[int]:
    """Lines with an absolute error divided by the measured value: |p / y - 1|, |(p - y) / y|, |p - y| / y."""
    lines = set()
    tree = ast.parse(source)
    for scope in ast.walk(tree):
        if isinstance(scope, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef):
            names = assigned(scope)
            lines |= {n.lineno for n in ast.walk(scope) if isinstance(n, ast.expr) and is_percentage_error(n, names)}
    for node in ast.walk(tree):
        names_here = {getattr(node, "id", ""), getattr(node, "attr", ""), *(
            alias.name for alias in (node.names if isinstance(node, ast.ImportFrom) else ())
        )}  # fmt: skip
        if SKLEARN in names_here:
            lines.add(node.lineno)  # type: ignore[attr-defined]
    return sorted(lines)


def assigned(scope: ast.AST) -> dict[str, ast.expr]:
    """The expression of each name that is assigned once: ``error = p - y`` is looked through."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            values.setdefault(node.targets[0].id, []).append(node.value)
    return {name: known[0] for name, known in values.items() if len(known) == 1}


def is_percentage_error(node: ast.expr, names: Names) -> bool:
    if (inner := absolute(node)) is not None:
        kind, left, right = operation(inner, names)
        if kind == "-":
            return is_ratio_less_one(left, right, inner, names) or is_ratio_less_one(right, left, inner, names)
        return kind == "/" and is_error_over_label(left, right, names)
    kind, left, right = operation(node, {})
    if kind == "/" and (inner := absolute(core(left, names))) is not None:
        return is_error_over_label(inner, right, names)
    return False


def is_ratio_less_one(ratio: ast.expr, one: ast.expr, whole: ast.expr, names: Names) -> bool:
    if not (isinstance(one, ast.Constant) and one.value == 1):
        return False
    kind, _, below = operation(ratio, names)
    is_written_out = operation(core(ratio, {}), {})[0] == "/"
    return kind == "/" and (is_written_out or is_label(below))


def is_error_over_label(error: ast.expr, below: ast.expr, names: Names) -> bool:
    kind, left, right = operation(error, names)
    if kind == "-":
        return is_label(below) or ast.dump(bare(below)) in {ast.dump(bare(left)), ast.dump(bare(right))}
    text = ast.unparse(error).lower()
    return is_label(below) and any(word in text for word in ("error", "residual", "diff"))


def operation(node: ast.expr, names: Names) -> tuple[str, ast.expr, ast.expr]:
    """Difference or quotient with its two sides; as an operator, a method or a function."""
    node = core(node, names)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Sub):
        return "/" if isinstance(node.op, ast.Div) else "-", node.left, node.right
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in OPERATIONS:
        sides = node.args if is_module(node.func.value) else [node.func.value, *node.args]
        if len(sides) >= 2:
            return OPERATIONS[node.func.attr], sides[0], sides[1]
    return "", node, node


def absolute(node: ast.expr) -> ast.expr | None:
    """What the absolute value is taken of."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Name) and node.func.id in ABSOLUTE and node.args:
        return node.args[0]
    if isinstance(node.func, ast.Attribute) and node.func.attr in ABSOLUTE:
        return node.args[0] if node.args else node.func.value
    return None


def core(node: ast.expr, names: Names) -> ast.expr:
    """Without factors, subscripts, casts and fills; a name that was assigned once stands for its expression."""
    while True:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            if isinstance(node.left, ast.Constant | ast.Name) and not isinstance(node.right, ast.Constant):
                node = node.right
            elif isinstance(node.right, ast.Constant | ast.Name):
                node = node.left
            else:
                return node
        elif isinstance(node, ast.Subscript) and not isinstance(node.value, ast.Name):
            node = node.value
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in names:
            node, names = names[node.value.id], {}
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in PASSED_OVER:
            node = node.func.value
        elif isinstance(node, ast.Name) and node.id in names:
            node, names = names[node.id], {}
        else:
            return node


def bare(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) else node


def is_module(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in MODULES


def is_label(node: ast.expr) -> bool:
    return any(word in LABELS for word in words(node))


def words(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def test_there_is_one_implementation() -> None:
    counts = {}
    for folder in SEARCHED:
        for file in sorted((ROOT / folder).rglob("*.py")):
            if lines := found(file.read_text(encoding="utf-8")):
                counts[file.relative_to(ROOT).as_posix()] = lines
    assert {name: len(lines) for name, lines in counts.items()} == ALLOWED, (
        f"lines with a percentage error: {counts} - use battery_core.evaluation.metrics.per_cell, or "
        "battery_core.cell_errors below the evaluation"
    )


RETIRED = {
    "candidate": 'relative = (predictions["prediction"] / predictions["soh"] - 1).abs() * 100',
    "report": (
        'error = frame["prediction"] - frame["soh"]\n'
        'parts = frame.assign(square=error**2, relative=(error / frame["soh"]).abs() * 100, bias=error)'
    ),
    "report by range": (
        'error = (frame["prediction"] - frame["soh"]).where(np.isfinite(frame["prediction"]))\n'
        'relative = (error / frame["soh"]).abs() * 100'
    ),
    "standings": (
        'error = (np.asarray(prediction) - rows["soh"]).replace([np.inf, -np.inf], np.nan).fillna(np.inf)\n'
        'parts = rows.assign(mape=(error / rows["soh"]).abs() * 100, square=error**2)'
    ),
    "cross-validation": 'relative = ((rows["prediction"] / rows["soh"] - 1).abs() * 100).fillna(float("inf"))',
    "ensemble": 'relative = (said / judged["soh"] - 1).abs()',
    "explain_run": 'e = (model.predict(judged) / judged["soh"] - 1).abs().groupby(judged["cell_id"]).mean()',
    "mixing": "errors = (np.bincount(cell, weights=np.abs(said / truth - 1)) / per_cell).mean()",
    "kernel_ridge": "relative = np.abs(self.predict(x[some]) / y[some] - 1).mean(axis=1) * 100",
    "metrics": "error = pred - true\nmape = float(100 * np.mean(np.abs(error[some] / true[some])))",
    "promotion_errors": 'e = ((said["prediction"] / said["soh"] - 1).abs() * 100).groupby(said["cell_id"]).mean()',
    "physics_ablation": "relative = np.abs(trainer.predict(test) / test.y - 1)[:, 0]",
}
OTHER_WAYS = {
    "difference over label": "mape = abs(a - soh) / soh",
    "torch": "mape = torch.abs(pred - target) / target",
    "masked": "mape = np.abs(pred - y)[some] / y[some]",
    "methods": 'mape = p.div(rows["soh"]).sub(1).abs()',
    "functions": "mape = np.abs(np.divide(p - soh, soh))",
    "one minus": "mape = np.fabs(1 - p / q)",
    "in two steps": 'def f(p, rows):\n    ratio = p / rows["soh"]\n    return (ratio - 1).abs()',
    "percent inside": "mape = np.abs(100 * (p - y) / y)",
    "library": "from sklearn.metrics import mean_absolute_percentage_error",
}


@pytest.mark.parametrize("name", RETIRED)
def test_every_retired_implementation_is_caught(name: str) -> None:
    assert found(RETIRED[name])


@pytest.mark.parametrize("name", OTHER_WAYS)
def test_the_same_in_other_words_is_caught(name: str) -> None:
    assert found(OTHER_WAYS[name])


@pytest.mark.parametrize(
    "other",
    [
        "error = np.abs(measured - predicted)",
        "score = np.abs(soh - said)[asked] / fade_scale(said[asked])",  # conformal: in units of fade
        "far = (((measured - mean) / spread).abs() <= 3).all(axis=1)",  # standard deviations
        "gain = 1 - ours / theirs",
        'efc = rows["throughput_Ah"].abs() / (2.0 * rows["nominal_capacity_Ah"])',
    ],
)
def test_other_quantities_are_not(other: str) -> None:
    assert not found(other)
