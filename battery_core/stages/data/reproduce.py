"""The one command that trains again as a registered version was trained: its settings where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import Any

from battery_core.release.model_registry import Version, mlflow_client
from battery_core.settings import Settings, all_fields, resolve

_NO_PART = (
    "paths.", "jobs.", "tracking.", "release.", "data.remote", "data.reference_root", "data.source", "data.zenodo_url",
    "data.download_cache", "data.workers",
)  # fmt: skip
"""Settings that shape no model, or are the machine's own."""


def command(version: Version, source: str, places: Sequence[str] = ()) -> str:
    """Train on data that stand; nothing is fetched.

    Args:
        version: whose settings to use.
        source: of its data.
        places: options that say where the data are, if not in the project's folders.
    """
    options = ["--data.source", source]
    now = plain(resolve({"data.source": source}))
    for name, then in sorted(_params(version).items()):
        if name in now and not name.startswith(_NO_PART) and now[name] != then and not then.startswith("{"):
            options += [f"--{name}", quote(as_option(then))]
    return " ".join(["python -m battery_core train", *options, *places])


def plain(settings: Settings) -> dict[str, str]:
    """Dotted name and value of every setting, as MLflow keeps them."""
    tree: Any = settings.model_dump(mode="json")
    values: dict[str, str] = {}
    for name, _ in all_fields():
        value = tree
        for part in name.split("."):
            value = value[part]
        values[name] = str(value)
    return values


def as_option(text: str) -> str:
    """A kept value as the command line takes it.

    Example:
        >>> as_option("['lgbm', 'mlp']"), as_option("140")
        ('lgbm,mlp', '140')
    """
    return text[1:-1].replace("'", "").replace(" ", "") if text.startswith("[") else text


def _params(version: Version) -> dict[str, str]:
    """Settings of the run that made a version; none where its run is gone."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        run = mlflow_client(mlflow.get_tracking_uri()).get_run(version.run_id)
    except MlflowException:
        return {}
    return dict(run.data.params)
