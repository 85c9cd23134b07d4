"""How a configuration field is declared: a default, a unit and bounds; its description is the docstring below it."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of every section: no unknown keys, no change after loading, no silent conversion (`"3"` is no number)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, validate_default=True)


def setting(default: Any, *, unit: str, **bounds: Any) -> Any:
    """A field with its unit (of the schema and the error messages) and pydantic's bounds (`ge`, `gt`, `le`, `lt`, `min_length`)."""
    return Field(default, json_schema_extra={"unit": unit}, **bounds)


def switch(default: bool) -> Any:
    """A yes-or-no field."""
    return Field(default, json_schema_extra={"unit": "true or false"})


def choice(default: str) -> Any:
    """A field whose value is a name: one of a fixed few, or a key of a dictionary in a layer above (see `choose`)."""
    return Field(default, min_length=1, json_schema_extra={"unit": "name"})


def choices(default: tuple[str, ...]) -> Any:
    """A list of such names. YAML has lists and no tuples, so this one conversion is allowed."""
    return Field(default, min_length=1, strict=False, json_schema_extra={"unit": "names"})


def layers(default: Any) -> Any:
    """A list of layer numbers, a word for all of them, or null."""
    return Field(default, json_schema_extra={"unit": "numbers"})


def names(default: tuple[str, ...]) -> Any:
    """A list of names that may be empty."""
    return Field(default, strict=False, json_schema_extra={"unit": "names"})
