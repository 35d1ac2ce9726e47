"""Validate a plain mapping from a script as a settings section."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from battery_core.errors import SettingsError, unknown_name

S = TypeVar("S", bound=BaseModel)


def from_config(cls: type[S], config: S | Mapping[str, Any] | None, section: str) -> S:
    """Return settings of class ``cls`` from a mapping, from ready settings, or from None (all defaults).

    Raises:
        UnknownNameError: the section has no such key; the text has the nearest names.
        SettingsError: a value of the wrong type or outside its limits.
    """
    if isinstance(config, cls):
        return config
    values: dict[str, Any] = dict(config or {})
    for key in values:
        if key not in cls.model_fields:
            raise unknown_name(f"{section} setting", str(key), cls.model_fields)
    try:
        return cls(**values)
    except ValidationError as err:
        first = err.errors()[0]
        where = ".".join([section, *(str(part) for part in first["loc"])])
        got = "" if first["type"] == "value_error" else f"; got {first['input']!r}"
        raise SettingsError(f"{where}: {first['msg'].removeprefix('Value error, ')}{got}") from err
