"""Tests of docs/serving.md against the server: endpoints, budget fields, the `tina` object, limits."""

import re
from pathlib import Path

import httpx
from pydantic import BaseModel

from tina_azr.config import ServeConfig
from tina_azr.serve.openai.request import BudgetFields, ReasoningOptions, TemplateOptions, ThinkingOptions
from tina_azr.serve.types import ServerLimits

PAGE = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")


def first_column(heading: str) -> list[str]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"^\| (?!-)(.*?) \|", section, re.MULTILINE)[1:]


def test_every_endpoint_is_documented(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    described = {f"`{method.upper()} {path}`" for path, operations in paths.items() for method in operations}
    assert set(first_column("Endpoints")) == described


def test_every_budget_field_is_documented() -> None:
    def fields(body: type[BaseModel], prefix: str = "") -> set[str]:
        return {prefix + name for name in body.model_fields}

    known = fields(BudgetFields) - {"thinking", "reasoning", "chat_template_kwargs", "include_reasoning"}
    known |= fields(ThinkingOptions, "thinking.") | fields(TemplateOptions, "chat_template_kwargs.")
    known |= fields(ReasoningOptions, "reasoning.") - {"reasoning.exclude", "reasoning.visible"}
    named = {name.partition(":")[0] for cell in first_column("The think budget") for name in re.findall(r"`(.*?)`", cell)}
    assert named == known


def test_every_field_of_the_tina_object_is_documented(client: httpx.Client) -> None:
    body = client.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "x"}]}).json()
    assert {cell.strip("`") for cell in first_column("The `tina` object")} == set(body["tina"])


def test_documented_default_limits_are_the_real_ones() -> None:
    settings, limits = ServeConfig(), ServerLimits()
    for name, value in {
        "queue": "256",
        "slots": "32",
        "body_bytes": "1 MiB",
        "read_seconds": "20",
        "choices": "16",
        "request_seconds": "600",
    }.items():
        (shown,) = re.findall(rf"^\| `(?:serve\.)?{name}`.*?\| (.*?) \|", PAGE, re.MULTILINE)
        number = float(shown.replace(" MiB", "")) * (2**20 if "MiB" in shown else 1)
        assert (shown, number) == (value, getattr(settings, name, None) or getattr(limits, name))
    assert (limits.messages, limits.prompt_chars) == (512, 500_000)
