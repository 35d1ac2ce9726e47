"""The page: one file that needs no network, says what its report says, and what a model must not be used for."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from battery_core.evaluation.metrics.coverage import evaluate_intervals
from battery_core.evaluation.metrics.scores import evaluate_baselines, evaluate_predictions, probe_verdict
from battery_core.files import read_json, write_json
from battery_core.reporting import model_card as card
from battery_core.reporting.figures.predictions import draw_parity
from battery_core.reporting.html.report import Figure, Section, render
from battery_core.uncertainty.conformal import Conformal


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rows = pd.DataFrame([(f"c{c}", i) for c in range(6) for i in range(6)], columns=["cell_id", "checkup_index"])
    number = rows["cell_id"].str[1:].astype(int)
    return rows.assign(
        soh=1.0 - 0.05 * rows["checkup_index"],
        ambient_temperature_degC=np.where(number % 2 == 0, 10.0, 25.0),
        group="g",
        protocol="1C charge <b>fast</b>",
        chemistry="NMC",
        nominal_capacity_Ah=5.0,
        throughput_Ah=100.0 * rows["checkup_index"],
        subset=number.map({0: "train", 1: "train", 2: "val", 3: "test", 4: "test", 5: "test"}),
    )


@pytest.fixture(scope="module")
def written(rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report as the stage writes it."""
    train, test = rows[rows["subset"] == "train"], rows[rows["subset"] == "test"].reset_index(drop=True)
    prediction = test["soh"] * np.where(test["cell_id"] == "c4", 1.05, 1.01)
    conformal = Conformal.conformalize(train["soh"], train["soh"] + 0.01, train["cell_id"]).to_json()
    estimated = test.assign(prediction=prediction, in_distribution=True, outside="", soh_spread=np.nan)
    scores = evaluate_predictions(test, prediction)
    baselines, probe = evaluate_baselines(train, test)
    model = {"model": "mlp", "run_id": "r1", "val_mean_cell_mape": 1.0, "test": scores}
    content = {
        "source": "lgm50t", "label": "LG M50T (Imperial College)", "simulated": False, "data_version": "d1",
        "tables_version": "t1", "split": {"strategy": "published", "version": "s1", "test_cells": ["c3", "c4", "c5"]},
        "soh_reference": "nominal", "challenger": "r1", "news": None,
        "rows": {"rows_read": 36, "rows_kept": 36, "rows_quarantined": 0, "train": 12, "val": 6, "test": 18},
        "scope": {part: card.scope(rows[rows["subset"] == part]) for part in ("train", "val", "test")},
        "models": [model | {"intervals": evaluate_intervals(estimated, conformal)}],
        "baselines": baselines, "leak_probe": probe, "probe_verdict": probe_verdict(scores, probe),
    }  # fmt: skip
    file = tmp_path_factory.mktemp("report") / "report.json"
    write_json(file, content)
    return file


@pytest.fixture
def report(written: Path) -> dict[str, Any]:
    """The same, to be changed at will."""
    return dict(read_json(written))


class Resources(HTMLParser):
    """Every address a browser would go and fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


def test_the_page_needs_no_network(report: dict[str, Any], rows: pd.DataFrame, tmp_path: Path) -> None:
    picture = draw_parity(rows.assign(prediction=rows["soh"]), "mlp", tmp_path / "parity.png")
    page = render(report, None, [Section("Figures", (Figure("Parity", "On the line.", picture),))])
    resources = Resources()
    resources.feed(page)
    assert len(resources.found) == 1
    assert resources.found[0].startswith("data:image/png;base64,iVBOR")
    assert not re.search(r"https?:|url\(|@import|<script|<link", page)


def test_the_page_says_what_the_report_says(report: dict[str, Any]) -> None:
    page = render(report, {"promoted": True, "reason": "first champion: 2.33 % beats train_mean"}, [])
    assert not re.search(r"\d (%|°C)", page)  # no line ends between a number and its unit
    page = page.replace("\u00a0", " ")
    assert "2.33 %" in page  # (1 + 5 + 1) / 3
    assert "1.00 to 5.00 %" in page  # three cells drawn again
    assert "worst cell c4: 5.00 %" in page
    assert "first champion: 2.33 % beats train_mean" in page
    assert '<span class="badge good">promoted</span>' in page
    assert all(name in page for name in ("train_mean", "linear_throughput", "persistence", "leak_probe"))
    assert "10 °C" in page
    assert "SOH 0.70 to 0.80" in page


def test_the_page_says_how_the_intervals_were_corrected(report: dict[str, Any]) -> None:
    (model,) = report["models"]
    easy, hard = (
        "correction 12 % wider: validation cells are easier",
        "correction 10 % narrower: validation cells are harder",
    )
    for factor, words in ((1.124, easy), (0.9, hard), (1.0, "")):
        report["models"] = [model | {"intervals": model["intervals"] | {"calibration_correction": factor}}]
        page = render(report, None, []).replace("\u00a0", " ")
        assert words in page
        assert ("(kernel ridge)" in page) is bool(words)


def test_names_from_data_are_text_and_never_markup(report: dict[str, Any]) -> None:
    page = render(report, None, [])
    assert "<b>fast</b>" not in page
    assert "&lt;b&gt;fast&lt;/b&gt;" in page


@pytest.mark.parametrize(
    ("decision", "badge"),
    [(None, "decision pending"), ({"promoted": False, "reason": "the champion is better"}, "not promoted")],
)
def test_the_decision_stands_on_top(report: dict[str, Any], decision: dict[str, Any] | None, badge: str) -> None:
    page = render(report, decision, [])
    assert f">{badge}</span>" in page
    assert ("the champion is better" in page) == (decision is not None)


def test_what_it_must_not_be_used_for_is_what_training_cells_were_not(report: dict[str, Any]) -> None:
    said = card.out_of_scope(report)
    assert "Ambient temperatures below 10 °C or above 25 °C." in said
    assert "Other chemistries than NMC." in said
    assert "SOH below 0.75 or above 1.00: outside the range of the training cells." in said
    assert "Cells of other nominal capacities than 5 Ah." in said
    report["simulated"] = True
    report["scope"]["train"] |= {"temperatures_degC": [10.0], "chemistries": [], "protocols": []}
    said = card.out_of_scope(report)
    assert said[0].startswith("Real cells")
    assert "Ambient temperatures other than 10 °C." in said
    assert any(line.startswith("The test error at 25 °C is an extrapolation") for line in said)
    report["scope"]["train"]["temperatures_degC"] = []
    assert any(line.startswith("Any temperature but that of the training cells") for line in card.out_of_scope(report))


def test_conditions_with_twice_the_error_are_named(report: dict[str, Any]) -> None:
    assert card.weak_spots(report) == ["10 °C: 5.00 %"]


def test_a_probe_that_wins_is_an_alarm_on_top(report: dict[str, Any]) -> None:
    assert "This evaluation is not valid" in render(report | {"probe_verdict": "the leak probe wins"}, None, [])
    assert "This evaluation is not valid" not in render(report | {"probe_verdict": ""}, None, [])


def test_predictions_that_are_not_finite_still_give_a_page(report: dict[str, Any]) -> None:
    scores = report["models"][0]["test"]
    scores |= {"mean_cell_mape": None, "mean_cell_mape_low": None, "mean_cell_mape_high": None}
    scores["per_cell"][0] |= {"mape": None, "rmse": None, "bias": None}
    scores["per_temperature"][0] |= {"mape": None, "mape_low": None, "mape_high": None}
    page = render(report, None, [])
    assert "none: some predictions are not finite" in page
    assert "must not be used" in page
