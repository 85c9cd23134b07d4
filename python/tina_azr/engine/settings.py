"""How the engine decodes when a request does not say. What is None is taken from the model's folder and size."""

import json
from dataclasses import dataclass, field, replace
from typing import Any

from tina_azr.engine.budget import BudgetSettings
from tina_azr.model.loading import Policy


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
    """Whether a request may ask for its thoughts as text."""
    obey_stop_plan: bool = False
    """Where the plan is `stop`, answer without a thought."""
    skip_below: float = 0.0
    """Answer without a thought where c0 is below this: thinking would not be worth its tokens; 0: never."""
    abstain_below: float = 0.0
    """Confidence under which an answer is flagged; 0: never."""
    slots: int = 32
    """Completions decoded at once."""
    piece_tokens: int = 1_024
    """Prompt tokens prefilled between two steps of the others."""
    kv_tokens: int | None = None
    """Most tokens whose keys and values are held at once; None: no bound."""
    tags: tuple[str, ...] = ()
    """Further tag pairs whose tokens are counted, by name."""
    adapter_rank: int = 0
    """Of side adapters behind the tapped layers; 0: none. They, FiLM and gate need heads, and are the identity when new."""
    film: bool = False
    """FiLM behind the tapped layers."""
    gate_layer: int | None = None
    """Decoder layer, counted from 0, behind which the feedback gate stands; None: no gate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSettings:
    """The same with every number known."""

    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    budget: BudgetSettings
    allow_visible: bool
    obey_stop_plan: bool
    skip_below: float
    abstain_below: float
    slots: int
    piece_tokens: int
    kv_tokens: int | None
    tags: tuple[str, ...]
    adapter_rank: int
    film: bool
    gate_layer: int | None


def resolve(settings: EngineSettings, policy: Policy) -> ResolvedSettings:
    """Fill in what the model says. A model of few positions gets think tokens and a reserve that fit it."""
    positions = int(policy.module.config.max_position_embeddings)
    advised = _advised(policy)

    def chosen(given: float | None, name: str, otherwise: float) -> float:
        return given if given is not None else float(advised.get(name, otherwise))

    return ResolvedSettings(
        max_tokens=settings.max_tokens or min(8_192, positions // 2),
        temperature=chosen(settings.temperature, "temperature", 1.0),
        top_p=chosen(settings.top_p, "top_p", 1.0),
        top_k=int(chosen(settings.top_k, "top_k", 0)),
        min_p=settings.min_p,
        budget=fitting_budget(settings.budget, policy),
        allow_visible=settings.allow_visible,
        obey_stop_plan=settings.obey_stop_plan,
        skip_below=settings.skip_below,
        abstain_below=settings.abstain_below,
        slots=settings.slots,
        piece_tokens=settings.piece_tokens,
        kv_tokens=settings.kv_tokens,
        tags=settings.tags,
        adapter_rank=settings.adapter_rank,
        film=settings.film,
        gate_layer=settings.gate_layer,
    )


def fitting_budget(settings: BudgetSettings, policy: Policy) -> BudgetSettings:
    """The same, with think tokens and a reserve that a model of few positions has room for."""
    positions = int(policy.module.config.max_position_embeddings)
    return replace(
        settings,
        max_think_tokens=min(settings.max_think_tokens, positions // 5),
        answer_reserve=min(settings.answer_reserve, positions // 8),
    )


def _advised(policy: Policy) -> dict[str, Any]:
    path = policy.folder / "generation_config.json"
    document = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return document if isinstance(document, dict) and document.get("do_sample", True) else {}
