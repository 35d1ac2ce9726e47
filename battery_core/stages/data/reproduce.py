"""Build the command that reproduces the training of a registered version."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote
from typing import Any

from battery_core.release.model_registry import Version, mlflow_client
from battery_core.settings import Settings, all_fields, resolve

_NOT_IN_COMMAND = (
    "paths.", "jobs.", "tracking.", "release.", "data.remote", "data.reference_root", "data.source", "data.zenodo_url",
    "data.download_cache", "data.workers",
)  # fmt: skip
"""Settings that shape no model, or that belong to one machine."""


def command(version: Version, source: str, places: Sequence[str] = ()) -> str:
    """Return the command that trains with the settings of a version on the data on disk, without a fetch.

    Args:
        version: the version to reproduce; only its settings that differ from the current ones become options.
        source: the source of its data.
        places: options for the data folders, if these are not the folders of the project.
    """
    options = ["--data.source", source]
    now = plain(resolve({"data.source": source}))
    for name, then in sorted(_params(version).items()):
        if name in now and not name.startswith(_NOT_IN_COMMAND) and now[name] != then and not then.startswith("{"):
            options += [f"--{name}", quote(as_option(then))]
    return " ".join(["python -m battery_core train", *options, *places])


def plain(settings: Settings) -> dict[str, str]:
    """Return every setting by its dotted name, with its value as MLflow stores it."""
    tree: Any = settings.model_dump(mode="json")
    values: dict[str, str] = {}
    for name, _ in all_fields():
        value = tree
        for key in name.split("."):
            value = value[key]
        values[name] = str(value)
    return values


def as_option(text: str) -> str:
    """Return a stored value in the form that the command line accepts.

    Example:
        >>> as_option("['lgbm', 'mlp']"), as_option("140")
        ('lgbm,mlp', '140')
    """
    return text[1:-1].replace("'", "").replace(" ", "") if text.startswith("[") else text


def _params(version: Version) -> dict[str, str]:
    """Return the settings of the run of a version; empty if MLflow does not have the run."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        run = mlflow_client(mlflow.get_tracking_uri()).get_run(version.run_id)
    except MlflowException:
        return {}
    return dict(run.data.params)
