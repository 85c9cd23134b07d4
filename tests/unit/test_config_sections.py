"""What every field of the configuration has."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tina_azr.config import Config, config_schema


def fields(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{name}.")
        else:
            yield prefix + name, field


FIELDS = dict(fields(Config))


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_has_a_description_and_a_unit(name: str) -> None:
    field = FIELDS[name]
    assert field.description
    assert isinstance(field.json_schema_extra, dict)
    assert field.json_schema_extra["unit"]


@pytest.mark.parametrize(
    "name", [name for name, field in FIELDS.items() if field.annotation in (int, float, int | None, float | None)]
)
def test_every_number_is_bounded_on_both_sides(name: str) -> None:
    bounds = {key for item in FIELDS[name].metadata for key in ("ge", "gt", "le", "lt") if getattr(item, key, None) is not None}
    assert bounds & {"ge", "gt"}
    assert bounds & {"le", "lt"}


def test_the_schema_forbids_unknown_keys_everywhere() -> None:
    schema = config_schema()
    sections: list[dict[str, Any]] = [schema, *schema["$defs"].values()]
    assert len(sections) == 11
    assert all(section["additionalProperties"] is False for section in sections)


def test_the_schema_carries_descriptions_units_and_bounds() -> None:
    steps = config_schema()["$defs"]["RunConfig"]["properties"]["steps"]
    assert steps == {
        "default": 60,
        "description": "Steps of self-play and learning.",
        "maximum": 10_000_000,
        "minimum": 1,
        "title": "Steps",
        "type": "integer",
        "unit": "steps",
    }
