"""Page of a report: report.html from report.json and the figures in the same folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from battery_core.files import read_json, write_text
from battery_core.reporting.html.report import Figure, Section, render

PAGE_FILE = "report.html"
_SECTIONS = {
    "Predicted against measured": {
        "parity": ("Parity", "On the line a prediction equals the reference; the grey band is 2 % of SOH.", False),
        "residuals": (
            "Residuals along life",
            "A bias at low SOH: the model does not follow aged cells.",
            False,
        ),
        "fade": ("Best, middle and worst cell", "Fade of three test cells, measured and predicted.", True),
    },
    "Calibration of intervals": {
        "calibration": (
            "Calibration",
            "Below the line intervals are too narrow; above it they are too wide.",
            True,
        ),
    },
    "Training and feature importance": {
        "learning": ("Learning curves", "The dot is the lowest loss on validation cells.", True),
        "importance": (
            "Feature importance",
            "Increase of the error on test cells when the values of one feature are permuted; correlated features "
            "share their importance.",
            True,
        ),
        "gain": ("LightGBM: gain of features", "Share of each feature in the reduction of the training loss.", True),
        "attention": (
            "LSTM: attention to check-ups",
            "Its worst test cell; each line is an estimate, the colour the attention to an earlier check-up. White "
            "check-ups are not in the input: later ones, or left out of a long history.",
            False,
        ),
        "latent": (
            "Neural ODE: the latent path of ageing",
            "The worst and the two best test cells; a path begins at its dot. On the right, the effect of the path on "
            "the estimate of the last check-up: where it is flat, the measurements of that check-up decide.",
            True,
        ),
        "candidate-shap": (
            "The chosen model: contribution of features",
            "Shapley values, sampled; each dot is a check-up of a test cell. For an ensemble "
            "the member with a feature vector and the largest weight is shown.",
            True,
        ),
        "candidate-waterfall": (
            "The chosen model: contributions to single estimates",
            "The last check-up of its worst, median and best test cell: from the mean estimate of training check-ups, "
            "feature by feature, to this one. \u00b1: the largest standard error of a contribution.",
            True,
        ),
        "shap": (
            "LightGBM: contribution of features",
            "SHAP values, exact; each dot is a check-up of a test cell.",
            True,
        ),
        "waterfall": (
            "LightGBM: contributions to single estimates",
            "SHAP values, exact, of the last check-up of the chosen model's worst, median and best test cell.",
            True,
        ),
    },
    "The data": {
        "data-fade": ("Fade of all cells", "Every cell of the source.", True),
        "data-spacing": ("Spacing of check-ups", "Each dot is a cell.", True),
        "data-drift": ("Training against test cells", "Features that differ most come first.", True),
        "data-quarantine": ("Quality issues", "A bar a cell, a mark an issue.", True),
    },
}
"""Sections of the page: figure -> title, explanation, whether it is wider than a phone screen."""


def write_page(folder: Path, decision: Mapping[str, Any] | None = None) -> Path:
    """Write report.html next to report.json; missing figures are left out.

    Args:
        folder: of the report.
        decision: ``promoted`` and ``reason``; None before the decision.
    """
    page = folder / PAGE_FILE
    write_text(page, render(read_json(folder / "report.json"), decision, _sections(folder)))
    return page


def _sections(folder: Path) -> list[Section]:
    sections = []
    for title, figures in _SECTIONS.items():
        drawn = [
            Figure(name, text, file, wide)
            for stem, (name, text, wide) in figures.items()
            if (file := folder / f"{stem}.png").is_file()
        ]
        sections += [Section(title, tuple(drawn))] if drawn else []
    return sections
