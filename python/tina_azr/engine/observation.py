"""Record of one completion: what `tina-azr observe` prints and writes to files.

It has all fields of Tina mainline's `observe_infer` record, and ours in addition. The JSON schema is generated from these classes, so
record and schema cannot disagree. None always means that the value does not exist (no heads, hidden reasoning), never that something
failed.
"""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from transformers.models.qwen3.modeling_qwen3 import apply_rotary_pos_emb

from tina_azr.engine.types import FinishReason, Generation, ThinkStop
from tina_azr.errors import ModelError
from tina_azr.introspection.types import BudgetSource, Forecast, Plan
from tina_azr.model.loading import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Activations:
    """Activations at the last token of a prompt."""

    layer_norms_L: tuple[float, ...]
    """Euclidean norm of each decoder layer's output."""
    attention_entropies_L: tuple[float, ...]
    """Entropy of each layer's attention in nats, mean over its heads. 0: all weight on one token; log T: uniform over T tokens."""


@torch.inference_mode()
def read_activations(policy: Policy, prompt_ids: Sequence[int]) -> Activations:
    """Run one forward pass over the prompt and read activations in float32. Raises ModelError for an empty or too long prompt."""
    limit = policy.module.config.max_position_embeddings
    if not 0 < len(prompt_ids) <= limit:
        raise ModelError(f"activations need a prompt of 1 to {limit} tokens; this one has {len(prompt_ids)}")
    model = policy.module.model
    activation_hooks = _ActivationHooks()
    with ExitStack() as hooks:
        hooks.callback(model.rotary_emb.register_forward_hook(activation_hooks.on_angles).remove)
        for layer in model.layers:
            hooks.callback(layer.self_attn.q_norm.register_forward_hook(activation_hooks.on_queries).remove)
            hooks.callback(layer.self_attn.k_norm.register_forward_hook(activation_hooks.on_keys).remove)
            hooks.callback(layer.register_forward_hook(activation_hooks.on_layer).remove)
        model(input_ids=torch.tensor([list(prompt_ids)], device=policy.device), use_cache=False)
    return Activations(layer_norms_L=tuple(activation_hooks.norms), attention_entropies_L=tuple(activation_hooks.entropies))


class _ActivationHooks:
    """Hooks of one forward pass. Layers run in sequence, and only two numbers of each layer are kept."""

    def __init__(self) -> None:
        self.norms: list[float] = []
        self.entropies: list[float] = []

    def on_angles(self, _module: nn.Module, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
        self._cos_1TD, self._sin_1TD = output

    def on_queries(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self._queries_1TAD = output

    def on_keys(self, _module: nn.Module, _inputs: Any, output: Tensor) -> None:
        self.entropies.append(_entropy(self._queries_1TAD, output, self._cos_1TD, self._sin_1TD))

    def on_layer(self, _module: nn.Module, _inputs: Any, output: Tensor | tuple[Tensor, ...]) -> None:
        state_1TH = output if isinstance(output, Tensor) else output[0]
        self.norms.append(float(state_1TH[0, -1].float().norm()))


def _entropy(queries_1TAD: Tensor, keys_1TAD: Tensor, cos_1TD: Tensor, sin_1TD: Tensor) -> float:
    """Compute the entropy of the last query's attention, which no mask restricts; mean over query heads."""
    queries, keys = apply_rotary_pos_emb(queries_1TAD.transpose(1, 2), keys_1TAD.transpose(1, 2), cos_1TD, sin_1TD)
    last_AD, keys_ATD = queries[0, :, -1].float(), keys[0].float()
    keys_ATD = keys_ATD.repeat_interleave(len(last_AD) // len(keys_ATD), dim=0)
    scores_AT = torch.einsum("ad,atd->at", last_AD, keys_ATD) * last_AD.shape[-1] ** -0.5
    return float(torch.special.entr(scores_AT.softmax(-1)).sum(-1).mean())


SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
PREVIEW_CHARS = 80
"""Length of the prompt's preview. A record may be kept where a whole prompt may not."""


class Part(BaseModel):
    """Base of the record's parts: frozen, without unknown keys. Docstrings become descriptions in the schema."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Decode(Part):
    """Sampling parameters."""

    temperature: float = Field(ge=0)
    """0 is greedy."""
    top_p: float = Field(gt=0, le=1)
    top_k: int = Field(ge=0)
    """0 keeps the whole vocabulary."""
    max_new_tokens: int = Field(ge=1)
    """Most tokens of reasoning and answer together."""
    seed: int


class Timing(Part):
    """Times in seconds, as the caller saw them."""

    latency_s: float = Field(ge=0)
    """From request to the last token."""
    time_to_first_token_s: float = Field(ge=0)
    """Prefill and forecast."""
    think_s: float = Field(ge=0)
    """From there to the end of the reasoning."""
    tokens_per_sec: float = Field(ge=0)
    """Tokens of reasoning and answer per second, from the first token on."""


class Io(Part):
    """Input and output of the completion."""

    input_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=0)
    """Tokens of reasoning, `</think>`, answer and stop id."""
    visible_cot: bool
    """Whether `text.full` holds the reasoning."""
    prompt_preview: str
    """The beginning of the last message."""


class Sections(Part):
    """Tokens by section of the completion."""

    think_tokens: int = Field(ge=0)
    answer_tokens: int = Field(ge=0)
    tag_tokens: dict[str, int]
    """Tokens between additional tag pairs, by name, in reasoning and answer; empty if none were requested."""


class Text(Part):
    """Text of the completion."""

    full: str | None
    """Reasoning, tag and answer; null if the reasoning is hidden."""
    answer: str


class AlphaSummary(Part):
    """Summary of the heads' attention over tapped layers."""

    min: float
    mean: float
    max: float
    entropy: float = Field(ge=0, le=1)
    """Divided by its maximum. 0: all weight on one layer; 1: uniform."""


class HeadSummary(Part):
    """Head outputs in mainline's form; `forecast` has all of them."""

    plan: dict[Plan, float]
    """Probabilities, sum 1."""
    confidence: float = Field(ge=0, le=1)
    """Confidence before reasoning (c0)."""
    budget: float = Field(ge=0)
    """Median think tokens."""
    alpha_summary: AlphaSummary | None
    """Null for heads without attention over layers."""
    plan_agreement: float | None = Field(ge=0, le=1)
    """Share of tapped layers whose state would choose the same plan by itself; null for heads without that output."""


class ForecastPart(Part):
    """Full forecast for the prompt."""

    plan_choice: Plan
    plan: dict[Plan, float]
    """Probabilities, sum 1."""
    budget_quantiles: dict[str, float]
    """Think tokens of a correct answer, by quantile."""
    c0: float = Field(ge=0, le=1)
    """Probability of a correct answer, before reasoning."""
    layers: list[int]
    """Tapped decoder layers, counted from 0."""
    alpha: list[float] | None
    """Attention over them, sum 1."""
    plan_by_layer: list[Plan] | None
    """Plan that the state of each layer would choose by itself."""


class DecisionPart(Part):
    """Budget that was decided from forecast, request and settings."""

    budget: int = Field(ge=0)
    """Target number of think tokens."""
    wall: int = Field(ge=0)
    """Think limit: the number of think tokens after which the reasoning is closed by force."""
    source: BudgetSource
    warning: str | None


class ActivationPart(Part):
    """Activations at the last prompt token, by layer."""

    layer_last_token_norms: list[float]
    """Euclidean norm of each layer's output."""
    attn_entropies_last_token: list[float]
    """Nats, mean over each layer's heads."""


class ModulatorSummary(Part):
    """Side adapters, FiLM and feedback gate in the model; none unless they were switched on."""

    num_gated_modules: int = Field(ge=0)
    mean_gate_activity: float
    """Mean magnitude of their last weights; 0 without modules."""


class TokenLogprob(Part):
    """Token of the answer with its log-probability."""

    id: int
    text: str
    logprob: float


class Observation(Part):
    """Record of one completion of one prompt."""

    request_id: str
    ts_ms: int
    """Time of the request in milliseconds since 1970."""
    model: str
    device: str
    decode: Decode
    timing: Timing
    io: Io
    sections: Sections
    text: Text
    heads: HeadSummary | None
    """Null without heads."""
    activations: ActivationPart
    gates: ModulatorSummary
    logprobs: list[TokenLogprob] | None
    """Log-probabilities of the answer; null if not requested."""
    forecast: ForecastPart | None
    """Null without heads."""
    decision: DecisionPart
    think_stop: ThinkStop
    """Why the reasoning ended."""
    finish_reason: FinishReason
    """Why the completion ended."""
    forced_close: bool
    leak: bool
    """The answer holds a think tag, which must never happen."""
    cE: float | None = Field(ge=0, le=1)
    """Probability of a correct answer after reasoning; null without heads, or if the reasoning was never closed."""
    abstain: bool
    """The confidence is below the threshold `abstain_below`."""
    calibration_digest: str | None
    """Digest of the calibration behind c0 and cE; null if there is none."""


def observation_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a record."""
    return {"$schema": SCHEMA_DIALECT, **Observation.model_json_schema(mode="serialization")}


def observe_generation(
    generation: Generation,
    activations: Activations,
    *,
    request_id: str,
    ts_ms: int,
    model: str,
    device: str,
    decode: Decode,
    timing: Timing,
    gates: ModulatorSummary,
    prompt: str,
    full_text: str | None,
) -> Observation:
    """Build the record of a finished completion. `full_text` is None if the reasoning is hidden."""
    forecast = generation.forecast
    return Observation(
        request_id=request_id,
        ts_ms=ts_ms,
        model=model,
        device=device,
        decode=decode,
        timing=timing,
        io=Io(
            input_tokens=generation.prompt_tokens,
            output_tokens=len(generation.completion.ids_T),
            visible_cot=full_text is not None,
            prompt_preview=_preview(prompt),
        ),
        sections=Sections(
            think_tokens=generation.think_tokens, answer_tokens=generation.answer_tokens, tag_tokens=dict(generation.tag_tokens)
        ),
        text=Text(full=full_text, answer=generation.answer),
        heads=None if forecast is None else _summary(forecast),
        activations=ActivationPart(
            layer_last_token_norms=list(activations.layer_norms_L),
            attn_entropies_last_token=list(activations.attention_entropies_L),
        ),
        gates=gates,
        logprobs=_logprobs(generation.answer_logprobs),
        forecast=None if forecast is None else _forecast(forecast),
        decision=DecisionPart(
            budget=generation.decision.budget,
            wall=generation.decision.think_limit,
            source=generation.decision.source,
            warning=generation.decision.warning,
        ),
        think_stop=generation.think_stop,
        finish_reason=generation.finish_reason,
        forced_close=generation.forced_close,
        leak=generation.leak,
        cE=generation.confidence_after,
        abstain=generation.abstain,
        calibration_digest=generation.calibration_digest,
    )


def _preview(prompt: str) -> str:
    line = " ".join(prompt.split())
    return line if len(line) <= PREVIEW_CHARS else line[: PREVIEW_CHARS - 1] + "…"


def _summary(forecast: Forecast) -> HeadSummary:
    layers = forecast.plan_by_layer_L
    return HeadSummary(
        plan=dict(forecast.plan),
        confidence=forecast.confidence_before,
        budget=forecast.budget_quantiles[0.5],
        alpha_summary=None if forecast.alpha_L is None else _alpha_summary(forecast.alpha_L),
        plan_agreement=None if layers is None else layers.count(forecast.plan_choice) / len(layers),
    )


def _alpha_summary(alpha_L: Sequence[float]) -> AlphaSummary:
    entropy = -sum(share * math.log(share) for share in alpha_L if share > 0)
    most = math.log(len(alpha_L)) if len(alpha_L) > 1 else 1.0
    return AlphaSummary(
        min=min(alpha_L), mean=sum(alpha_L) / len(alpha_L), max=max(alpha_L), entropy=min(1.0, max(0.0, entropy / most))
    )


def _forecast(forecast: Forecast) -> ForecastPart:
    return ForecastPart(
        plan_choice=forecast.plan_choice,
        plan=dict(forecast.plan),
        budget_quantiles={str(quantile): tokens for quantile, tokens in forecast.budget_quantiles.items()},
        c0=forecast.confidence_before,
        layers=list(forecast.layers_L),
        alpha=None if forecast.alpha_L is None else list(forecast.alpha_L),
        plan_by_layer=None if forecast.plan_by_layer_L is None else list(forecast.plan_by_layer_L),
    )


def _logprobs(tokens: Sequence[tuple[int, str, float]] | None) -> list[TokenLogprob] | None:
    return None if tokens is None else [TokenLogprob(id=index, text=text, logprob=value) for index, text, value in tokens]
