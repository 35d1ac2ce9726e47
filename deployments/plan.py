"""Read the nightly deployment from prefect.yaml, for the worker and for a laptop."""

from __future__ import annotations

from typing import Any

import yaml

from battery_core.errors import SettingsError
from battery_core.settings import project_root

NIGHTLY = "nightly"


def nightly() -> dict[str, Any]:
    """Return the entry ``nightly`` of prefect.yaml.

    Raises:
        SettingsError: there is no such file or entry.
    """
    file = project_root() / "prefect.yaml"
    try:
        entries = yaml.safe_load(file.read_text())["deployments"]
    except (FileNotFoundError, KeyError, TypeError, yaml.YAMLError) as err:
        raise SettingsError(f"'{file}': expected a list of deployments, got {err!r} - restore the file") from err
    matching = [entry for entry in entries if entry.get("name") == NIGHTLY]
    if not matching:
        raise SettingsError(f"'{file}': no deployment '{NIGHTLY}' - restore its entry")
    return dict(matching[0])
