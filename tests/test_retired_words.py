"""No retired word in names of the code and in prose; ``python tests/test_retired_words.py`` lists every hit.

``docs/glossary.md`` has the words that replaced them.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("battery_core", "flows", "tasks", "deployments")

RETIRED_PARTS = {
    "room": "module", "rooms": "modules", "house": "project", "door": "entry point", "doors": "entry points",
    "stair": "layer", "stairs": "layers", "past": "history features", "told": "the name of the thing",
    "night": "retraining run", "nights": "retraining runs", "newcomer": "challenger", "objection": "blocking reason",
    "objections": "blocking reasons", "judge": "compare", "judged": "compared", "contest": "comparison",
    "answers": "predictions", "ask": "predict", "asked": "requested", "crown": "promote", "crowned": "promoted",
    "reign": "promotion event", "reigns": "promotion events", "holder": "version by alias",
    "withdrawn": "rejected or rolled back", "guards": "slice checks", "guarded": "slice check",
    "board": "benchmark", "seat": "benchmark run", "seats": "benchmark runs",
    "standings": "aggregate", "headline": "PRIMARY_METRIC", "histories": "sequences", "lean": "fused",
    "stacked": "batched", "direct": "manual_backward", "anchors": "landmarks", "noises": "alphas",
    "blend": "weighted ensemble", "blended": "weighted ensemble", "mixing": "ensemble weights", "mixed": "weighted",
    "checkout": "restore", "staged": "StageResult", "facts": "metadata", "say": "log or print", "says": "log or print",
    "said": "message", "finding": "issue", "findings": "issues", "lifetime": "expanding_mean",
    "dialect": "format", "witness": "cross-check",
}  # fmt: skip
"""Words that may not be one of the words of a snake_case or CamelCase name."""

RETIRED_NAMES = {
    "about": "metadata", "again": "data_changes", "anew": "from scratch", "correction": "calibration_correction",
    "do": "action", "draw_of_cells": "calibration_correction", "first_checkups": "initial_relative",
    "fitted": "FitResult", "found": "the name of the thing", "given": "settings or the name of the thing",
    "guard_tolerance": "max_slice_regression", "in_service": "champion_scoring", "in_words": "describe or format",
    "keep": "snapshot", "kept": "SnapshotResult", "kernel": "kernel_ridge", "known": "the name of the thing",
    "mend": "repair", "min_gain": "min_improvement", "must_beat": "required_baselines", "news": "data_changes",
    "nothing_new": "no_new_data", "own": "the name of the thing", "outside": "ood_column",
    "part": "subset, member or group", "parts": "subsets, members or groups", "quick_look": "fast_check",
    "runs_backwards": "non_monotonic", "scored": "ScoringResult", "seen": "observed", "share": "weight",
    "shares": "weights", "so_far": "running_stats", "trend": "recent_change", "use": "usage", "use_left": "rul_efc",
    "well": "is_ok", "what": "the name of the thing", "who": "the name of the thing", "whole": "the name of the thing",
    "word_dropout": "PackedDropout", "history_index": "SequenceIndex", "drift": "early_deviation",
}  # fmt: skip
"""Names that are retired as a whole; as one word of a longer name they may be field terms."""

ALLOWED: dict[tuple[str, str], str] = {
    ("battery_core/artifacts.py", "correction"): "a JSON key of packed models",
    ("battery_core/artifacts.py", "share"): "the share of check-ups, not a weight",
    ("battery_core/models/kernel_ridge.py", "_kernel"): "the kernel function, not the model",
    ("battery_core/reporting/figures/data_drift.py", "drift"): "data drift, the field term",
    ("battery_core/training/fast/manual_layers.py", "keep"): "the probability that dropout keeps a unit",
    ("tasks/evaluation.py", "drift"): "data drift, the field term",
}
"""Retired words that are field terms in this one name (file, name), with the reason."""

PAGES = ("README.md", "CONTRIBUTING.md", "docs/**/*.md")
"""The changelog is not among them: it lists old names."""

RETIRED_PROSE = {
    r"the house\b": "the project", r"rooms?\b(?! temperature)": "module", r"doors?\b": "entry point, input validation",
    r"stairs?\b": "layer", r"(the|last|a|an equal) night('s)?\b|nights\b|tonight\b": "run, retraining run",
    r"newcomers?\b": "challenger", r"crown(s|ed)?\b": "promote", r"told\b|tells?\b": "show, encode, report",
    r"blend(s|ed)?\b": "weighted ensemble", r"(the|own|cell's) past\b": "history, history features",
    r"kn(ow|ows|ew)\b": "use, have", r"serv(es|ed)\b": "is in production", r"judg(e|es|ed|ing)\b": "evaluate, compare",
    r"asked\b": "score, require", r"guard(s|ed)?\b": "slice check", r"anew\b": "again, from scratch",
    r"witness\b": "cross-check", r"boards?\b": "benchmark", r"seats?\b": "benchmark run", r"made[- ]up\b": "synthetic",
    r"travels?\b": "generalise", r"what it says\b": "content", r"in service\b": "in production",
    r"reigns?\b": "promotion event", r"withdrawn\b": "rejected or rolled back", r"findings?\b": "issue",
    r"anchors\b": "landmarks", r"mend(s|ed)?\b": "fix", r"said\b": "reported",
}  # fmt: skip
"""Patterns of retired words and phrases in prose; code blocks and inline code are left out."""

RETIRED_CODE = {
    r"battery_core (keep|checkout)\b": "snapshot, restore", r"battery (keep|checkout)\b": "snapshot, restore",
    r"`(keep|checkout)`": "snapshot, restore", r"`blend`": "ensemble", r"`kernel`": "kernel_ridge",
    r"`(first_checkups|trend|lifetime)`": "initial_relative, recent_change, expanding_mean",
    r"--(blend|kernel|validation)\.": "--ensemble, --kernel_ridge, --cross_validation",
    r"(min_gain|must_beat|guard_tolerance|release\.guards)\b": "min_improvement, required_baselines, slice checks",
    r"(direct_gradients|n_anchors|least_share|use_left|features\.past)\b": "see the changelog",
}  # fmt: skip
"""Patterns of retired commands, settings and values; they count in code, too."""

ALLOWED_PROSE: dict[tuple[str, str], str] = {}
"""Retired words that are right on this one page (page, word), with the reason."""


@dataclass(frozen=True)
class Hit:
    """A name that holds a retired word, and where it is defined."""

    path: str
    line: int
    kind: str
    name: str
    replacement: str

    @property
    def package(self) -> str:
        """The first two folders."""
        folders = self.path.split("/")[:-1]
        return "/".join(folders[:2])


def snake_case(name: str) -> str:
    """Return a CamelCase name as snake_case, without leading underscores."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name.strip("_"))
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).replace("-", "_").lower()


def replacement(name: str) -> str | None:
    """Return what to write instead of a retired name, None where the name is fine.

    Example:
        >>> replacement("night_key"), replacement("DoorKeeper"), replacement("promote")
        ('retraining run', 'entry point', None)
    """
    plain = snake_case(name)
    if plain in RETIRED_NAMES:
        return RETIRED_NAMES[plain]
    return next((RETIRED_PARTS[part] for part in plain.split("_") if part in RETIRED_PARTS), None)


def defined_names(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """Yield line, kind and name of every class, function, parameter, field, constant and command line option."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node.lineno, "class", node.name
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    yield item.lineno, "field", item.target.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, "function", node.name
            arguments = node.args
            optional = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
            for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *optional):
                yield argument.lineno, "parameter", argument.arg
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield node.lineno, "option", argument.value
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
        for target in targets:
            if isinstance(target, ast.Name):
                yield node.lineno, "constant", target.id


def hits_in_code() -> list[Hit]:
    """Return every name of the code that holds a retired word."""
    hits = []
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            path = str(file.relative_to(ROOT))
            module = file.parent.name if file.stem == "__init__" else file.stem
            names = [(1, "module", module), *defined_names(ast.parse(file.read_text(encoding="utf-8")))]
            for line, kind, name in names:
                if (path, name) not in ALLOWED and (instead := replacement(name)) is not None:
                    hits.append(Hit(path, line, kind, name, instead))
    return hits


def prose_of(page: str) -> str:
    """Return a page with code blocks, inline code, link targets and comments blanked, line by line."""
    blanked = re.sub(r"^```.*?^```", lambda block: "\n" * block[0].count("\n"), page, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`|\]\([^)\n]*\)|<!--.*?-->", " ", blanked)


def hits_in_pages() -> list[Hit]:
    """Return every retired word in README, CONTRIBUTING and docs."""
    hits = []
    for file in sorted({file for pattern in PAGES for file in ROOT.glob(pattern)}):
        page, path = file.read_text(encoding="utf-8"), str(file.relative_to(ROOT))
        for text, patterns in ((prose_of(page), RETIRED_PROSE), (page, RETIRED_CODE)):
            for number, line in enumerate(text.splitlines(), 1):
                for pattern, instead in patterns.items():
                    for match in re.finditer(
                        rf"(?<![\w-]){pattern}" if patterns is RETIRED_PROSE else pattern, line, re.I
                    ):
                        if (path, match[0].lower()) not in ALLOWED_PROSE:
                            hits.append(Hit(path, number, "word", match[0], instead))
    return hits


def by_package(hits: list[Hit]) -> dict[str, list[Hit]]:
    """Return the hits of each package."""
    groups = defaultdict(list)
    for hit in hits:
        groups[hit.package].append(hit)
    return dict(sorted(groups.items()))


def test_no_retired_word_in_names_of_the_code() -> None:
    hits = hits_in_code()
    listed = "\n".join(f"{hit.path}:{hit.line}: {hit.kind} {hit.name} -> {hit.replacement}" for hit in hits)
    assert not hits, listed


def test_no_retired_word_in_settings_commands_and_registered_names() -> None:
    from battery_core.cli.commands import COMMANDS
    from battery_core.data.registries import SOURCES, SPLITS
    from battery_core.features.registry import FEATURES
    from battery_core.models.registry import MODELS
    from battery_core.settings import all_fields
    from battery_core.training.losses.registry import LossRegistry

    names = {part for name, _ in all_fields() for part in name.split(".")}
    names |= {*COMMANDS, *MODELS, *FEATURES, *LossRegistry, *SOURCES, *SPLITS}
    names |= {argument.name for command in COMMANDS.values() for argument in command.arguments}
    assert {name: replacement(name) for name in names if replacement(name) is not None} == {}


def test_no_retired_word_in_readme_and_docs() -> None:
    hits = [f"{hit.path}:{hit.line}: {hit.name} -> {hit.replacement}" for hit in hits_in_pages()]
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize(
    ("name", "retired"),
    [
        ("told", True), ("CellFacts", True), ("--checkout", True), ("_past", True), ("part", True), ("PART", True),
        ("part_files", False), ("n_members", False), ("use_amp", False), ("calibration_correction", False),
        ("correction", True), ("kernel", True), ("kernel_ridge", False), ("data_drift", False), ("restore", False),
    ],
)  # fmt: skip
def test_a_name_is_matched_by_its_words(name: str, retired: bool) -> None:
    assert (replacement(name) is not None) == retired


if __name__ == "__main__":
    for package, package_hits in by_package([*hits_in_code(), *hits_in_pages()]).items():
        print(f"\n{package}: {len(package_hits)}")
        for hit in package_hits:
            print(f"  {hit.path}:{hit.line}: {hit.kind} {hit.name} -> {hit.replacement}")
