"""What every settings section of the house has in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class SectionSettings(BaseModel):
    """One room's settings: frozen, and a name it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def setting(default: Any, description: str, *, unit: str = "", **limits: Any) -> Any:
    """A settings field with its default, meaning and unit; limits are pydantic's (``ge``, ``gt``, ``le``...)."""
    return Field(default, description=description, json_schema_extra={"unit": unit}, **limits)
