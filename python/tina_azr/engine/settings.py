"""Settings of the chat engine, and how they follow from the configuration and the model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from tina_azr.config import Config, IntrospectionConfig, ServeConfig
from tina_azr.introspection.budget import BudgetSettings, configured_budget, fitting_budget
from tina_azr.model.loading import Policy

_SERVE, _INTROSPECTION = ServeConfig(), IntrospectionConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Defaults of requests and limits of the engine. A field that is also a setting has the default of that setting."""

    max_tokens: int = 0
    """Completion tokens of a request that gives no number; 0: half of the model's positions, at most 8,192."""
    temperature: float | None = None
    """Sampling temperature; None: the value in the model's generation_config.json, else 1."""
    top_p: float | None = None
    """Nucleus sampling; None: the value in the model's generation_config.json, else 1."""
    top_k: int | None = None
    """Most likely tokens to sample from, 0 for all; None: the value in the model's generation_config.json, else 0."""
    min_p: float = 0.0
    """Least probability of a token, as a share of the most likely one's."""
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    allow_visible: bool = _SERVE.allow_visible_reasoning
    """Whether a request may ask for the text of the reasoning."""
    obey_stop_plan: bool = _INTROSPECTION.obey_stop_plan
    """Whether a prompt whose plan is `stop` is answered without reasoning."""
    skip_below: float = _INTROSPECTION.skip_below
    """Confidence before reasoning under which a prompt is answered without reasoning; 0: never."""
    abstain_below: float = _SERVE.abstain_below or 0.0
    """Confidence under which an answer is marked `abstain`; 0: never."""
    slots: int = _SERVE.slots
    """Completions decoded at once."""
    piece_tokens: int = 1_024
    """Prompt tokens prefilled between two decode steps of running completions."""
    kv_tokens: int | None = _SERVE.kv_tokens
    """Most tokens whose keys and values are held at once; None: no bound."""
    tags: tuple[str, ...] = _INTROSPECTION.tags
    """Further tag pairs whose tokens are counted, by name."""
    adapter_rank: int = 0
    """Rank of side adapters after the tapped layers; 0: none. Adapters, FiLM and gate need heads, and are the identity when new."""
    film: bool = False
    """Whether FiLM is applied after the tapped layers."""
    gate_layer: int | None = None
    """Decoder layer, counted from 0, after which the feedback gate is applied; None: no gate."""

    @property
    def modulates(self) -> bool:
        """Whether side adapters, FiLM or the gate are on."""
        return bool(self.adapter_rank) or self.film or self.gate_layer is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSettings(EngineSettings):
    """Settings of an engine whose model is known: no field means "what the model says"."""

    temperature: float
    top_p: float
    top_k: int


def engine_settings(config: Config, *, allow_visible: bool | None = None, tags: Sequence[str] = ()) -> EngineSettings:
    """Return the engine's settings from a configuration. `serve`, `chat` and `observe` all use this function.

    `allow_visible` overrides `serve.allow_visible_reasoning`; `tags` are added to `introspection.tags`.
    """
    introspection, serve = config.introspection, config.serve
    return EngineSettings(
        budget=configured_budget(introspection),
        allow_visible=serve.allow_visible_reasoning if allow_visible is None else allow_visible,
        abstain_below=serve.abstain_below or 0.0,
        skip_below=introspection.skip_below,
        obey_stop_plan=introspection.obey_stop_plan,
        tags=tuple(dict.fromkeys((*introspection.tags, *tags))),
        slots=serve.slots,
        kv_tokens=serve.kv_tokens,
    )


def resolve(settings: EngineSettings, policy: Policy) -> ResolvedSettings:
    """Fill in what the model recommends, and limit budgets to what fits its positions.

    Raises ConfigError if `introspection.min_think_tokens` does not fit.
    """
    advised = _advised(policy)

    def chosen(given: float | None, name: str, otherwise: float) -> float:
        return given if given is not None else float(advised.get(name, otherwise))

    known = {one.name: getattr(settings, one.name) for one in fields(settings)} | {
        "max_tokens": settings.max_tokens or min(8_192, policy.module.config.max_position_embeddings // 2),
        "temperature": chosen(settings.temperature, "temperature", 1.0),
        "top_p": chosen(settings.top_p, "top_p", 1.0),
        "top_k": int(chosen(settings.top_k, "top_k", 0)),
        "budget": fitting_budget(settings.budget, policy),
    }
    return ResolvedSettings(**known)


def _advised(policy: Policy) -> dict[str, Any]:
    path = policy.folder / "generation_config.json"
    document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return document if isinstance(document, dict) and document.get("do_sample", True) else {}
