"""Tests of the record of `observe` and of its schema."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from tina_azr.cli.observe.command import observe_request
from tina_azr.engine.engine import IntrospectiveEngine
from tina_azr.engine.observation import Observation, observation_schema
from tina_azr.engine.settings import EngineSettings
from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.introspection.heads import HeadKind, HeadShape, build_heads
from tina_azr.introspection.introspector import Introspector

if TYPE_CHECKING:
    from tina_azr.model.loading import Policy

REFERENCE = {
    "": {
        "request_id", "ts_ms", "model", "device", "decode", "timing", "io", "sections", "text", "heads", "activations", "gates",
        "logprobs",
    },
    "decode": {"temperature", "top_p", "max_new_tokens"},
    "timing": {"latency_s", "tokens_per_sec"},
    "io": {"input_tokens", "output_tokens", "visible_cot", "prompt_preview"},
    "sections": {"think_tokens", "answer_tokens"},
    "text": {"full", "answer"},
    "heads": {"plan", "confidence", "budget", "alpha_summary", "plan_agreement"},
    "activations": {"layer_last_token_norms", "attn_entropies_last_token"},
    "gates": {"num_gated_modules", "mean_gate_activity"},
}  # fmt: skip
"""Fields of Tina mainline's record."""
OURS = {"forecast", "decision", "think_stop", "finish_reason", "forced_close", "leak", "cE", "abstain", "calibration_digest"}
Observe = Callable[..., Observation]


@pytest.fixture
def observe(byte_policy: "Policy") -> Observe:
    """Observe the small random model, with heads of a kind or without."""

    def act(kind: HeadKind | None = "linked", **request: Any) -> Observation:
        shape = HeadShape(kind=kind or "linear", taps=(0, 1), hidden_size=32, width=8)
        introspector = None if kind is None else Introspector(build_heads(shape, seed=0))
        engine = IntrospectiveEngine(byte_policy, introspector=introspector, settings=EngineSettings(allow_visible=True))
        message = Message(role="user", content="8 +\n9?")
        return observe_request(
            engine, GenerationRequest(messages=(message,), max_tokens=200, budget_tokens=8, logprobs=True, **request)
        )

    return act


@pytest.fixture
def validator() -> Draft202012Validator:
    schema = observation_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def as_json(record: Observation) -> Any:
    return record.model_dump(mode="json")


@pytest.mark.parametrize("kind", ["linear", "tap", "linked", None])
@pytest.mark.parametrize("visible", [False, True])
def test_every_record_fits_the_schema(observe: Observe, validator: Draft202012Validator, kind: Any, visible: bool) -> None:
    assert [error.message for error in validator.iter_errors(as_json(observe(kind, visible=visible)))] == []


def test_the_schema_requires_every_field_and_allows_no_other(observe: Observe, validator: Draft202012Validator) -> None:
    record = as_json(observe())
    for key in record:
        assert not validator.is_valid({name: value for name, value in record.items() if name != key})
    assert not validator.is_valid({**record, "surprise": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"ts_ms": "now"},
        {"cE": 1.5},
        {"think_stop": "tired"},
        {"heads": {}},
        {"timing": None},
        {"text": {"full": None}},
        {"activations": {"layer_last_token_norms": [None], "attn_entropies_last_token": []}},
    ],
)
def test_schema_refuses_invalid_records(observe: Observe, validator: Draft202012Validator, change: dict[str, Any]) -> None:
    assert not validator.is_valid({**as_json(observe()), **change})


def test_the_fields_are_those_of_mainline_and_ours(observe: Observe) -> None:
    record = as_json(observe())
    assert set(record) == REFERENCE[""] | OURS
    assert {part: names - set(record[part]) for part, names in REFERENCE.items() if part and names - set(record[part])} == {}


def test_with_linked_heads_only_hidden_fields_are_empty(observe: Observe) -> None:
    record = as_json(observe(visible=True))
    absent = {key for key, value in record.items() if value is None}
    # The random model is closed by force; nothing was calibrated.
    assert absent == {"calibration_digest"}
    assert all(value is not None for part in REFERENCE if part for value in record[part].values())


def test_numbers_agree_with_one_another(observe: Observe) -> None:
    record = observe(seed=3, temperature=0.7)
    assert record.forecast is not None
    assert record.heads is not None
    assert record.heads.plan == record.forecast.plan
    assert sum(record.forecast.plan.values()) == pytest.approx(1)
    assert record.heads.budget == record.forecast.budget_quantiles["0.5"]
    assert record.heads.alpha_summary is not None
    assert record.heads.alpha_summary.mean == pytest.approx(0.5)
    assert record.heads.plan_agreement in (0.0, 0.5, 1.0)
    assert len(record.activations.layer_last_token_norms) == len(record.activations.attn_entropies_last_token) == 2
    assert record.io.output_tokens >= record.sections.think_tokens + record.sections.answer_tokens
    assert record.logprobs is not None
    assert len(record.logprobs) == record.sections.answer_tokens
    assert (record.decode.temperature, record.decode.seed, record.decode.max_new_tokens) == (0.7, 3, 200)


def test_record_has_no_hidden_reasoning(observe: Observe) -> None:
    shown, hidden = observe(visible=True, seed=1), observe(seed=1)
    assert shown.text.full is not None
    thought = shown.text.full.partition("</think>")[0]
    assert len(thought) > 4
    assert hidden.text.answer == shown.text.answer
    assert (hidden.text.full, hidden.io.visible_cot) == (None, False)
    assert thought not in hidden.model_dump_json()


def test_the_prompt_is_only_previewed(observe: Observe) -> None:
    assert observe().io.prompt_preview == "8 + 9?"


def test_record_survives_a_json_round_trip(observe: Observe) -> None:
    record = observe()
    assert Observation.model_validate_json(record.model_dump_json()) == record


def test_nan_and_infinity_are_refused(observe: Observe) -> None:
    record = observe()
    with pytest.raises(ValidationError, match="finite"):
        Observation.model_validate({**record.model_dump(), "cE": float("nan")})
