"""One completion with everything that is known of it, as a record: what `tina-azr observe` prints and files keep.

The field names are those of Tina mainline's `observe_infer` record, every one filled, with ours beside them. The JSON schema is made
from these classes, so record and schema cannot disagree. None always means that there is no such thing here (no heads, thoughts
hidden), never that something failed.
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
    """At the last token of a prompt."""

    layer_norms_L: tuple[float, ...]
    """Euclidean norm of each decoder layer's output."""
    attention_entropies_L: tuple[float, ...]
    """Entropy of each layer's attention in nats, mean over its heads: 0 looks at one token, log T at all T alike."""


@torch.inference_mode()
def read_activations(policy: Policy, prompt_ids: Sequence[int]) -> Activations:
    """One forward pass over the prompt, read in float32. Raises ModelError for a prompt that is empty or too long."""
    limit = policy.module.config.max_position_embeddings
    if not 0 < len(prompt_ids) <= limit:
        raise ModelError(f"activations need a prompt of 1 to {limit} tokens, this one has {len(prompt_ids)}")
    model = policy.module.model
    watch = _Watch()
    with ExitStack() as hooks:
        hooks.callback(model.rotary_emb.register_forward_hook(watch.on_angles).remove)
        for layer in model.layers:
            hooks.callback(layer.self_attn.q_norm.register_forward_hook(watch.on_queries).remove)
            hooks.callback(layer.self_attn.k_norm.register_forward_hook(watch.on_keys).remove)
            hooks.callback(layer.register_forward_hook(watch.on_layer).remove)
        model(input_ids=torch.tensor([list(prompt_ids)], device=policy.device), use_cache=False)
    return Activations(layer_norms_L=tuple(watch.norms), attention_entropies_L=tuple(watch.entropies))


class _Watch:
    """Hooks of one forward pass, in which layers come one after another: nothing of a layer is kept but two numbers."""

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
    """Of the last row of attention, before which there is no mask; mean over query heads."""
    queries, keys = apply_rotary_pos_emb(queries_1TAD.transpose(1, 2), keys_1TAD.transpose(1, 2), cos_1TD, sin_1TD)
    last_AD, keys_ATD = queries[0, :, -1].float(), keys[0].float()
    keys_ATD = keys_ATD.repeat_interleave(len(last_AD) // len(keys_ATD), dim=0)
    scores_AT = torch.einsum("ad,atd->at", last_AD, keys_ATD) * last_AD.shape[-1] ** -0.5
    return float(torch.special.entr(scores_AT.softmax(-1)).sum(-1).mean())


SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"
PREVIEW_CHARS = 80
"""Of the prompt: a record may be kept where a whole prompt may not."""


class Part(BaseModel):
    """Base of the record's parts: no unknown keys, no change, and its docstrings are the schema's descriptions."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class Decode(Part):
    """How tokens were drawn."""

    temperature: float = Field(ge=0)
    """0 is greedy."""
    top_p: float = Field(gt=0, le=1)
    top_k: int = Field(ge=0)
    """0 keeps the whole vocabulary."""
    max_new_tokens: int = Field(ge=1)
    """Thought and answer together."""
    seed: int


class Timing(Part):
    """Seconds, as the caller saw them."""

    latency_s: float = Field(ge=0)
    """From request to the last token."""
    time_to_first_token_s: float = Field(ge=0)
    """Reading the prompt and forecasting."""
    think_s: float = Field(ge=0)
    """From there to the end of the thought."""
    tokens_per_sec: float = Field(ge=0)
    """Thought and answer, from the first token on."""


class Io(Part):
    """What went in and came out."""

    input_tokens: int = Field(ge=1)
    output_tokens: int = Field(ge=0)
    """Thought, `</think>`, answer and stop id."""
    visible_cot: bool
    """Whether the thought may be read in `text.full`."""
    prompt_preview: str
    """The beginning of the last message."""


class Sections(Part):
    """Where the tokens went."""

    think_tokens: int = Field(ge=0)
    answer_tokens: int = Field(ge=0)
    tag_tokens: dict[str, int]
    """Between further tag pairs, by name, in thought and answer; empty where none were asked for."""


class Text(Part):
    """What was said."""

    full: str | None
    """Thought, tag and answer; null where thoughts are hidden."""
    answer: str


class AlphaSummary(Part):
    """The heads' attention over tapped layers, in four numbers."""

    min: float
    mean: float
    max: float
    entropy: float = Field(ge=0, le=1)
    """Over its greatest possible value: 0 reads one layer, 1 all alike."""


class HeadSummary(Part):
    """The heads' claims in mainline's form; `forecast` has them in full."""

    plan: dict[Plan, float]
    """Probabilities, sum 1."""
    confidence: float = Field(ge=0, le=1)
    """Before thinking (c0)."""
    budget: float = Field(ge=0)
    """Median think tokens."""
    alpha_summary: AlphaSummary | None
    """Null for heads without attention over layers."""
    plan_agreement: float | None = Field(ge=0, le=1)
    """Share of tapped layers that alone would choose the same plan; null for heads that cannot say."""


class ForecastPart(Part):
    """Everything that was forecast of the prompt."""

    plan_choice: Plan
    plan: dict[Plan, float]
    """Probabilities, sum 1."""
    budget_quantiles: dict[str, float]
    """Think tokens of a correct answer, by quantile."""
    c0: float = Field(ge=0, le=1)
    """Probability of a correct answer before thinking."""
    layers: list[int]
    """Tapped decoder layers, counted from 0."""
    alpha: list[float] | None
    """Attention over them, sum 1."""
    plan_by_layer: list[Plan] | None
    """What each of them alone would choose."""


class DecisionPart(Part):
    """What came of forecast, request and settings."""

    budget: int = Field(ge=0)
    """Think tokens aimed at."""
    wall: int = Field(ge=0)
    """Think tokens after which the thought is closed by force."""
    source: BudgetSource
    warning: str | None


class ActivationPart(Part):
    """At the last prompt token, layer by layer."""

    layer_last_token_norms: list[float]
    """Euclidean norm of each layer's output."""
    attn_entropies_last_token: list[float]
    """Nats, mean over each layer's heads."""


class Gates(Part):
    """Side adapters in the model; none unless they were asked for."""

    num_gated_modules: int = Field(ge=0)
    mean_gate_activity: float
    """0 without gates."""


class TokenLogprob(Part):
    """One token of the answer."""

    id: int
    text: str
    logprob: float


class Observation(Part):
    """One completion of one prompt, observed."""

    request_id: str
    ts_ms: int
    """When it was asked for: milliseconds since 1970."""
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
    gates: Gates
    logprobs: list[TokenLogprob] | None
    """Of the answer; null where not asked for."""
    forecast: ForecastPart | None
    """Null without heads."""
    decision: DecisionPart
    think_stop: ThinkStop
    """Why the thought ended."""
    finish_reason: FinishReason
    """Why the completion ended."""
    forced_close: bool
    leak: bool
    """The answer holds a think tag: never where everything works."""
    cE: float | None = Field(ge=0, le=1)
    """Probability of a correct answer after thinking; null without heads, or if the thought never closed."""
    abstain: bool
    """The engine would rather not vouch for it."""
    calibration_digest: str | None
    """Of the calibration behind c0 and cE; null where there is none."""


def observation_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a record."""
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
    gates: Gates,
    prompt: str,
    full_text: str | None,
) -> Observation:
    """The record of a finished completion. `full_text` is None where thoughts are hidden."""
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
