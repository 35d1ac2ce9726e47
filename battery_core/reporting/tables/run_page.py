"""Texts of a run for its page and its log: data, decision, changes of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Decision(Protocol):
    """The result of a release: a registered version, and whether it was promoted."""

    @property
    def name(self) -> str:
        """Return the registered model."""

    @property
    def version(self) -> int:
        """Return the number of the new version."""

    @property
    def promoted(self) -> bool:
        """Return whether it is the champion now."""

    @property
    def reason(self) -> str:
        """Return the reason of the decision."""

    @property
    def champion(self) -> int | None:
        """Return the version of the champion."""

    @property
    def mlflow_run(self) -> str:
        """Return the id of the MLflow run."""


def decision_text(decision: Decision) -> str:
    """Return the decision and its reason in one sentence."""
    return f"{'promoted' if decision.promoted else 'not promoted'}: {decision.reason}"


def decision_markdown(decision: Decision, uri: str) -> str:
    """Return the decision with a link to the MLflow run.

    Args:
        decision: of the release.
        uri: of the MLflow server or database.
    """
    champion = f"version {decision.champion}" if decision.champion else "none"
    if uri.startswith("http"):
        link = f"[MLflow run]({uri}/#/runs/{decision.mlflow_run})"
    else:
        local = f"http://127.0.0.1:5000/#/runs/{decision.mlflow_run}"
        link = f"MLflow run `{decision.mlflow_run}` in `{uri}`; with `mlflow server` running: [open it]({local})"
    return "\n".join(
        [
            f"# {decision.name}, version {decision.version}",
            f"**{'Promoted' if decision.promoted else 'Not promoted'}**: {decision.reason}",
            f"\n- champion now: {champion}",
            f"- {link}",
        ]
    )


def data_changes_markdown(message: str, changes: Mapping[str, Any] | None) -> str:
    """Return new, grown, corrected and removed cells since the champion was trained.

    Args:
        message: all changes in one sentence.
        changes: names of the cells by kind of change; None where they are not known.
    """
    lines = ["# Changes in the data", message]
    if changes is not None:
        grown = [f"{cell} (+{more})" for cell, more in changes["grown_cells"].items()]
        for title, cells in (
            ("new cells", changes["new_cells"]),
            ("cells with more check-ups", grown),
            ("cells with corrected rows", changes["changed_cells"]),
            ("removed cells", changes["gone_cells"]),
        ):
            lines += [f"- {len(cells)} {title}: {', '.join(cells)}"] if cells else []
    return "\n".join(lines)


def evaluation_markdown(report: Mapping[str, Any]) -> str:
    """Return data version, rows, split and warnings of an evaluation."""
    rows, split = report["rows"], report["split"]
    lines = [
        f"# {report['label']}",
        f"- data version `{report['data_version']}` (md5 of the raw data in DVC)",
        f"- {rows['rows_read']} check-ups read, {rows['rows_quarantined']} quarantined",
        f"- rows: {rows['train']} train, {rows['val']} validation, {rows['test']} test, {rows['unused']} unused",
        f"- split `{split['strategy']}`, test cells: {', '.join(split['test_cells'])}",
        f"- SOH relative to `{report['soh_reference']}` capacity",
    ]
    lines += [f"- changes: {report['news']['message']}"] if report.get("news") else []
    lines += [f"- largest drift in the test cells: {_largest_drift(report['drift'])}"] if report.get("drift") else []
    return "\n".join(lines + ([f"\n**{report['probe_verdict']}**"] if report["probe_verdict"] else []))


def _largest_drift(data_drift: Sequence[Mapping[str, Any]]) -> str:
    """Return the three features of the largest distance, 0 alike to 1 apart."""
    return ", ".join(f"{line['feature']} {line['ks']:.2f}" for line in data_drift[:3])
