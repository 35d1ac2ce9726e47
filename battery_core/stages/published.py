"""Models under the published, leaking protocol, a fit a group, model and seed; a fit that stands is not made again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from battery_core.data.versioning import code_version
from battery_core.evaluation.published import LEAKING_MODELS, judge
from battery_core.files import read_json, write_json
from battery_core.settings import Settings
from battery_core.stages.artefacts import stage_key


def leaking_errors(
    settings: Settings, rows: pd.DataFrame, version: str, folder: Path, say: Callable[[str], None] = print
) -> pd.DataFrame:
    """Errors of the test cells of each group, of every model that was fitted to that group alone.

    Args:
        settings: of the run; the perceptron is a single one, as the published networks are.
        rows: labelled rows with the part of the split they are in.
        version: of the tables.
        folder: of the leaderboard.
        say: told of each fit.
    """
    import torch

    torch.set_num_threads(settings.jobs.threads)
    shown = settings.model_dump(mode="json")
    sections = {name: shown[name] for name in ("lgbm", "mlp", "trainer", "loss")}
    sections["mlp"]["n_members"], sections["lgbm"]["num_threads"] = 1, settings.jobs.threads
    code = code_version("evaluation.published", "data", "models", "training")
    lines = []
    for seed in range(settings.seed, settings.seed + settings.leaderboard.published_seeds):
        for group, part in rows[rows["part"] != "unused"].groupby("group"):
            for model in LEAKING_MODELS:
                name = f"{settings.data.source} {group} {model} seed {seed}"
                key = stage_key(version, sorted(set(zip(part["cell_id"], part["part"], strict=True))), sections, code)
                file = folder / "published" / f"{name.replace(' ', '-')}.json"
                known = read_json(file)
                if known is None or known["key"] != key:
                    found = judge(part, model, sections, seed)
                    known = {"key": key, "errors": found.to_dict(orient="records")}
                    write_json(file, known)
                    say(f"leaderboard: published protocol (leaks): {name}: {found['mape'].mean():.2f} %")
                lines.append(pd.DataFrame(known["errors"]).assign(model=model, seed=seed))
    return pd.concat(lines, ignore_index=True)
