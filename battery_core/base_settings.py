"""What every settings section of the house has in common."""

from __future__ import annotations

import json
from typing import Any, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class SectionSettings(BaseModel):
    """One room's settings: frozen; unknown names and numbers that are not finite are refused. Lists: ``a,b``."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _lists_from_text(cls, value: Any, info: ValidationInfo) -> Any:
        field = cls.model_fields[info.field_name] if info.field_name else None
        return list_from_text(value) if field is not None and get_origin(field.annotation) is tuple else value


def list_from_text(value: Any) -> Any:
    """The items of a list given as text on the command line or in the environment; other values as they are.

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
    """A settings field with its default, meaning and unit; limits are pydantic's (``ge``, ``gt``, ``le``...)."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)
