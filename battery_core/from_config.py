"""A plain mapping, as people write it in a script, turned into a settings section with helpful refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from battery_core.errors import SettingsError, unknown_name

S = TypeVar("S", bound=BaseModel)


def from_config(cls: type[S], given: S | Mapping[str, Any] | None, section: str) -> S:
    """Settings of class ``cls`` from a mapping, from settings that are ready, or from nothing (all defaults).

    Raises:
        UnknownNameError: a key the section does not have; the text has the nearest names.
        SettingsError: a value of the wrong type or outside its limits.
    """
    if isinstance(given, cls):
        return given
    values: dict[str, Any] = dict(given or {})
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
