"""The report as a page for people: put together from report.json and the figures beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from battery_core.files import read_json, write_text
from battery_core.reporting.html.report import Figure, Section, render

PAGE_FILE = "report.html"
_SECTIONS = {
    "Predicted against measured": {
        "parity": ("Parity", "On the line a prediction is right; the grey band is 2 % of SOH.", False),
        "residuals": (
            "Residuals along life",
            "Off to one side at low SOH: the model does not follow aged cells.",
            False,
        ),
        "fade": ("Best, middle and worst cell", "How three test cells fade, measured and predicted.", True),
    },
    "Can its intervals be trusted": {
        "calibration": (
            "Calibration",
            "Below the line intervals are too narrow; above it they could be tighter.",
            True,
        ),
    },
    "How the models learnt and what they look at": {
        "learning": ("Learning curves", "The dot is where the validation cells were predicted best.", True),
        "importance": (
            "Feature importance",
            "How much the error on test cells grows when check-ups swap their values of one feature; features that "
            "say the same share their weight.",
            True,
        ),
        "gain": ("LightGBM: what its splits are on", "Share of the loss on training cells that a feature took.", True),
        "attention": (
            "LSTM: which check-ups it attends to",
            "Its worst test cell; each line is an estimate, the colour how much an earlier check-up counts. White "
            "ones were not read: they are later, or thinned out of a long history.",
            False,
        ),
        "latent": (
            "Neural ODE: the latent path of ageing",
            "The worst and the two best test cells; a path begins at its dot. On the right, what the path does to the "
            "estimate of the last check-up: where it is flat, that check-up's own measurements decide.",
            True,
        ),
        "candidate-shap": (
            "The chosen model: which way a feature moves estimates",
            "Shapley values, sampled; each dot is a check-up of a test cell. For a mean of models "
            "its heaviest part with a feature vector stands for it, as the figure says.",
            True,
        ),
        "candidate-waterfall": (
            "The chosen model: how single estimates came about",
            "The last check-up of its worst, median and best test cell: from the mean estimate of training check-ups, "
            "feature by feature, to this one. \u00b1: the largest standard error of a sampled part.",
            True,
        ),
        "shap": (
            "LightGBM: which way a feature moves estimates",
            "SHAP values, exact; each dot is a check-up of a test cell.",
            True,
        ),
        "waterfall": (
            "LightGBM: how single estimates came about",
            "SHAP values, exact, of the last check-up of the chosen model's worst, median and best test cell.",
            True,
        ),
    },
    "The data": {
        "data-fade": ("How all cells fade", "Every cell of the source.", True),
        "data-spacing": ("How often cells were measured", "Each dot is a cell.", True),
        "data-drift": ("Training against test cells", "Features that differ most come first.", True),
        "data-quarantine": ("What was flagged and taken out", "A bar a cell, a mark a finding.", True),
    },
}
"""Chapters of the page: figure -> title, how to read it, too wide for a phone."""


def write_page(folder: Path, decision: Mapping[str, Any] | None = None) -> Path:
    """Write report.html beside report.json; a figure that is not there is left out.

    Args:
        folder: of the report.
        decision: ``promoted`` and ``reason``; None before the stage release has decided.
    """
    page = folder / PAGE_FILE
    write_text(page, render(read_json(folder / "report.json"), decision, _sections(folder)))
    return page


def _sections(folder: Path) -> list[Section]:
    found = []
    for title, figures in _SECTIONS.items():
        drawn = [
            Figure(name, text, file, wide)
            for stem, (name, text, wide) in figures.items()
            if (file := folder / f"{stem}.png").is_file()
        ]
        found += [Section(title, tuple(drawn))] if drawn else []
    return found
