"""Commented YAML of a configuration: a comment above every value gives its description, unit and bounds."""

import textwrap
from typing import Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tina_azr.config.sections import Config
from tina_azr.config.yaml import write_yaml

WIDTH = 118


def describe_config(config: Config) -> str:
    """Return what `dump_config` returns, with comments."""
    return "\n".join(_section(config, indent="")) + "\n"


def _section(section: BaseModel, indent: str) -> list[str]:
    lines: list[str] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            lines += ["", *_comment(type(value).__doc__ or "", indent), f"{indent}{name}:", *_section(value, indent + "  ")]
        else:
            lines += [
                *_comment(f"{field.description} [{_range(field)}]", indent),
                f"{indent}{name}: {write_yaml(list(value) if isinstance(value, tuple) else value, inline=True)}",
            ]
    return lines


def _comment(text: str, indent: str) -> list[str]:
    return [f"{indent}# {line}" for line in textwrap.wrap(text, WIDTH - len(indent), break_on_hyphens=False)]


def _range(field: FieldInfo) -> str:
    """Return unit and bounds, such as `tokens, 8 to 262144`, or the choices, such as `float32 or bfloat16`."""
    if get_origin(field.annotation) is Literal:
        return " or ".join(get_args(field.annotation))
    extra = field.json_schema_extra
    words = [str(extra["unit"])] if isinstance(extra, dict) else []
    bounds = {
        key: bound for item in field.metadata for key in ("ge", "gt", "le", "lt") if (bound := getattr(item, key, None)) is not None
    }
    if bounds:
        low = f"{bounds['ge']}" if "ge" in bounds else f"above {bounds['gt']}"
        high = f"{bounds['le']}" if "le" in bounds else f"below {bounds['lt']}"
        words.append(f"{low} to {high}")
    return ", ".join(words)
