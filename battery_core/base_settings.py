"""Base class of all settings sections, and lists written as text."""

from __future__ import annotations

import json
from typing import Any, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class SectionSettings(BaseModel):
    """Define a settings section: frozen; unknown names and non-finite numbers are refused. Lists: ``a,b``."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _lists_from_text(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name] if info.field_name else None
        return list_from_text(value) if field is not None and get_origin(field.annotation) is tuple else value


def list_from_text(value: Any) -> Any:
    """Return the items of a list that the command line or environment writes as text; other values unchanged.

    Example:
        >>> list_from_text("lgbm, mlp"), list_from_text('["lgbm"]'), list_from_text("")
        (['lgbm', 'mlp'], ['lgbm'], [])
    """
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            raise ValueError(f'write a list as a,b or as ["a", "b"]; got {value!r}') from None
    return [part.strip() for part in value.split(",") if part.strip()]


def setting(default: Any, description: str, *, unit: str = "", **limits: Any) -> Any:
    """Return a settings field with its default, meaning and unit; limits are pydantic's (``ge``, ``gt``, ``le``...)."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)
