"""Settings of the chat engine: defaults of requests and its own limits. None means the value of the model's folder or size."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from tina_azr.config import Config, ServeConfig
from tina_azr.introspection.budget import BudgetSettings, configured_budget, fitting_budget
from tina_azr.model.loading import Policy

_SERVED = ServeConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Defaults of requests, and the engine's own limits."""

    max_tokens: int = 0
    """Completion tokens where a request gives no number; 0: half of the model's positions, at most 8,192."""
    temperature: float | None = None
    """None: what the model's generation_config.json recommends, else 1."""
    top_p: float | None = None
    top_k: int | None = None
    min_p: float = 0.0
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    allow_visible: bool = False
    """Whether a request may ask for the text of its reasoning."""
    obey_stop_plan: bool = False
    """If the plan is `stop`, answer without reasoning."""
    skip_below: float = 0.0
    """Answer without reasoning if the confidence before reasoning is below this; 0: never."""
    abstain_below: float = 0.0
    """Confidence under which an answer is flagged; 0: never."""
    slots: int = _SERVED.slots
    """Completions decoded at once."""
    piece_tokens: int = 1_024
    """Prompt tokens prefilled between two steps of the others."""
    kv_tokens: int | None = _SERVED.kv_tokens
    """Most tokens whose keys and values are held at once; None: no bound."""
    tags: tuple[str, ...] = ()
    """Further tag pairs whose tokens are counted, by name."""
    adapter_rank: int = 0
    """Of side adapters behind the tapped layers; 0: none. They, FiLM and gate need heads, and are the identity when new."""
    film: bool = False
    """FiLM behind the tapped layers."""
    gate_layer: int | None = None
    """Decoder layer, counted from 0, whose output the feedback gate scales; None: no gate."""

    @property
    def modulates(self) -> bool:
        """Side adapters, FiLM or gate are on."""
        return bool(self.adapter_rank) or self.film or self.gate_layer is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSettings(EngineSettings):
    """The same with every number known."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0


def engine_settings(config: Config, *, allow_visible: bool | None = None, tags: Sequence[str] = ()) -> EngineSettings:
    """Return the engine's settings of a configuration: the one source for `serve`, `chat` and `observe`.

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
    """Fill in what the model says. A model of few positions gets think tokens and a reserve that fit it."""
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
