"""Return the comparison of models by cross-validation as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from battery_core.evaluation.metrics.paired_tests import PairedComparison
from battery_core.reporting.formats import percent


def cross_validation_table(content: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the comparison as a table for a page or a terminal."""
    tests = {test["model"]: PairedComparison(**test) for test in content["tests"]}
    return [
        {
            "model": line["model"],
            "MAPE per cell": percent(line["mean"]),
            "over seeds": _spread(line["seed_spread"]),
            "over folds": _spread(line["fold_spread"]),
            "worst cell": f"{percent(line['worst'])} ({line['worst_cell']})",
            "coverage": _coverage(line),
            "width": "" if line["width"] is None else f"{line['width']:.1f} pt",
            "against the best": _test(tests.get(line["model"])),
        }
        for line in content["models"]
    ]


def _spread(value: float | None) -> str:
    return "n/a" if value is None else f"± {value:.2f}"


def _coverage(line: Mapping[str, Any]) -> str:
    if line["coverage"] is None:
        return ""
    return f"{line['coverage']:.1%} ({line['coverage_low']:.0%} to {line['coverage_high']:.0%})"


def _test(test: PairedComparison | None) -> str:
    if test is None:
        return ""
    return f"{test.best} {test.gain:.0%} better, on {test.wins:.0%} of {test.n_cells} cells, p = {test.p_value:.2g}"
