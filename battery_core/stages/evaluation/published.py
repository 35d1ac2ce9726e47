"""Fit models under the published, leaking protocol, one fit for each group, model and seed; reuse finished fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from battery_core.code_version import code_version
from battery_core.evaluation.benchmark.published_protocol import LEAKING_MODELS, fit_as_published
from battery_core.files import read_json, write_json
from battery_core.settings import Settings
from battery_core.stages.common import stage_key


def leaking_errors(
    settings: Settings, rows: pd.DataFrame, version: str, folder: Path, log: Callable[[str], None] = print
) -> pd.DataFrame:
    """Return the test errors of every model that is fitted to one group alone, for each group.

    Without ``leaderboard.train`` only seeds with all fits finished count; without such a seed there are no rows.

    Args:
        settings: settings of the run; the perceptron is a single one, as the published networks are.
        rows: labelled rows with their subset.
        version: version of the tables.
        folder: folder of the leaderboard.
        log: called with a line for each fit.
    """
    shown = settings.model_dump(mode="json")
    sections = {name: shown[name] for name in ("lgbm", "mlp", "trainer", "loss")}
    sections["mlp"]["n_members"], sections["lgbm"]["num_threads"] = 1, settings.jobs.threads
    code = code_version("battery_core.evaluation.benchmark.published_protocol:fit_as_published")
    groups = [(str(name), rows_of_group) for name, rows_of_group in rows[rows["subset"] != "unused"].groupby("group")]

    def errors(group: str, rows_of_group: pd.DataFrame, model: str, seed: int) -> pd.DataFrame | None:
        key = stage_key(
            version, sorted(set(zip(rows_of_group["cell_id"], rows_of_group["subset"], strict=True))), sections, code
        )
        name = f"{settings.data.source} {group} {model} seed {seed}"
        file = folder / "published" / f"{name.replace(' ', '-')}.json"
        fit = read_json(file)
        if fit is None or fit["key"] != key:
            if not settings.leaderboard.train:
                return None
            fit = {"key": key, "errors": _fit(rows_of_group, model, sections, seed).to_dict(orient="records")}
            write_json(file, fit)
            mean = pd.DataFrame(fit["errors"])["mape"].mean()
            log(f"leaderboard: published protocol (leaks): {name}: {mean:.2f} %")
        return pd.DataFrame(fit["errors"]).assign(model=model, seed=seed)

    tables = [pd.DataFrame(columns=["cell_id", "group", "mape", "rmse", "model", "seed"])]
    for seed in range(settings.seed, settings.seed + settings.leaderboard.published_seeds):
        lines = [errors(*group, model, seed) for group in groups for model in LEAKING_MODELS]
        whole = [line for line in lines if line is not None]
        tables += whole if len(whole) == len(lines) else []
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _fit(rows_of_group: pd.DataFrame, model: str, sections: dict[str, Any], seed: int) -> pd.DataFrame:
    """Fit a model in this process, with as many threads as a job may use."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(int(sections["lgbm"]["num_threads"]))
    try:
        return fit_as_published(rows_of_group, model, sections, seed)
    finally:
        torch.set_num_threads(before)
