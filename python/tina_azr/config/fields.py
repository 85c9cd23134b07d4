"""Declaration of configuration fields: a default, a unit and bounds. The docstring below a field is its description."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base class of the sections: unknown keys, changes after loading and silent conversions (`"3"` to 3) are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, validate_default=True)


def setting(default: Any, *, unit: str, **bounds: Any) -> Any:
    """Declare a field with its unit (for schema and error messages) and pydantic's bounds (`ge`, `gt`, `le`, `lt`, `min_length`)."""
    return Field(default, json_schema_extra={"unit": unit}, **bounds)


def switch(default: bool) -> Any:
    """Declare a boolean field."""
    return Field(default, json_schema_extra={"unit": "true or false"})


def choice(default: str) -> Any:
    """Declare a field whose value is a name: a literal, or a key of a dictionary in a layer above (see `choose`)."""
    return Field(default, min_length=1, json_schema_extra={"unit": "name"})


def choices(default: tuple[str, ...]) -> Any:
    """Declare a list of such names. YAML has lists but no tuples, so this one conversion is allowed."""
    return Field(default, min_length=1, strict=False, json_schema_extra={"unit": "names"})


def layers(default: Any) -> Any:
    """Declare a list of layer numbers, the word for all of them, or null."""
    return Field(default, json_schema_extra={"unit": "numbers"})


def names(default: tuple[str, ...]) -> Any:
    """Declare a list of names that may be empty."""
    return Field(default, strict=False, json_schema_extra={"unit": "names"})
