"""Calibration of the heads' raw outputs, stored as a JSON file. `fitting.py` fits it on held-out labels.

It belongs to one policy, one set of heads and one tokenizer, and holds their digests. `mismatches` reports a use with others.
"""

import datetime
import difflib
import hashlib
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from tina_azr.config.fields import Section
from tina_azr.errors import ConfigError, ScoreError
from tina_azr.introspection.types import Plan

CALIBRATION = "calibration.json"
"""Name of the file in a model's folder."""

Floats: TypeAlias = NDArray[np.float64]
Moment: TypeAlias = Literal["c0", "cE"]
"""Which confidence: before thinking, or at `</think>`."""

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0)]


class Measured(Section):
    """Statistic with its bootstrap interval; null where the labels do not determine it."""

    value: _Number | None
    low: _Number | None
    high: _Number | None
    n: _Count


class Change(Section):
    """Score before and after calibration. The score after is cross-fitted: no label is scored by a fit that used it."""

    before: Measured
    after: Measured


class ConfidenceMap(Section):
    """Fitted, non-decreasing map from a raw to a calibrated probability."""

    method: Literal["identity", "temperature", "platt", "isotonic"] = "identity"
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """The logit is divided by it (`temperature`, `platt`)."""
    bias: _Number = 0.0
    """Added to the logit after that (`platt`)."""
    knots: tuple[tuple[_Share, _Share], ...] = ()
    """Rising pairs (raw, calibrated) of a piecewise linear map (`isotonic`)."""
    n: _Count = 0
    """Number of labels that it was fitted to."""

    @model_validator(mode="after")
    def _parameters_belong_to_the_method(self) -> Self:
        if self.method == "isotonic":
            rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(self.knots))
            if not self.knots or not rising:
                raise ValueError(
                    "knots must be at least one pair [raw, calibrated], raw values rising and calibrated ones never falling"
                )
        elif self.knots:
            raise ValueError(f"knots belong to method `isotonic`, not to `{self.method}`")
        if self.bias != 0 and self.method != "platt":
            raise ValueError(f"a bias belongs to method `platt`, not to `{self.method}`")
        if self.temperature != 1 and self.method not in ("temperature", "platt"):
            raise ValueError(f"a temperature belongs to methods `temperature` and `platt`, not to `{self.method}`")
        return self

    def apply(self, p_N: Floats) -> Floats:
        """Return calibrated probabilities. The methods temperature and Platt keep 0 and 1 as they are."""
        if self.method == "identity":
            return p_N
        if self.method == "isotonic":
            raw, calibrated = np.array(self.knots).T
            return np.asarray(np.interp(p_N, raw, calibrated))
        with np.errstate(divide="ignore", over="ignore"):
            logits = (np.log(p_N) - np.log1p(-p_N)) / self.temperature + self.bias
            return np.asarray(1 / (1 + np.exp(-logits)))


class ConfidenceCalibration(Section):
    """Calibration of one confidence head."""

    pooled: ConfidenceMap = ConfidenceMap()
    """Map for all task modes without their own."""
    by_mode: dict[str, ConfidenceMap] = Field(default_factory=dict)
    """Maps of task modes that had enough labels for their own."""
    scores: dict[str, Change] = Field(default_factory=dict)
    """Scores by name (`brier`, `log_loss`, `ece`, `auroc`)."""


class QuantileFactor(Section):
    """Conformal correction of one budget quantile."""

    quantile: Annotated[float, Field(gt=0, lt=1)]
    factor: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Multiplies the forecast, so that P(length <= forecast | correct) is the quantile."""
    n: _Count
    """Correct rollouts that it was fitted to."""
    coverage: Change
    """Share of lengths at or below the forecast, before and after."""


def _plan_keys(thresholds: Any) -> Any:
    """Convert keys that are plans or their indices to plans."""
    if not isinstance(thresholds, Mapping):
        return thresholds
    plans = list(Plan)
    names = {str(plan): plan for plan in plans} | {str(index): plan for index, plan in enumerate(plans)}
    if unknown := [key for key in thresholds if str(key) not in names]:
        known = ", ".join(f"{plan} ({index})" for index, plan in enumerate(plans))
        raise ValueError(f"there is no plan `{unknown[0]}`. Plans: {known}")
    renamed = [names[str(key)] for key in thresholds]
    if len(set(renamed)) < len(renamed):
        raise ValueError("one plan has two thresholds, by name and by index")
    return dict(zip(renamed, thresholds.values(), strict=True))


PlanThresholds = Annotated[
    dict[Plan, _Share], BeforeValidator(_plan_keys), PlainSerializer(lambda given: {str(plan): given[plan] for plan in given})
]


class Calibration(Section):
    """Fitted calibration: maps, factors, the digests of what it belongs to, and scores before and after.

    The threshold for abstaining is a setting, not a part of it.
    """

    schema_version: Literal[1] = 1
    date: datetime.date | None = None
    """When it was fitted; null for the identity."""
    policy_digest: str = ""
    """Digest of the weights whose rollouts gave the labels; empty: unknown."""
    heads_digest: str = ""
    """Digest of the heads whose outputs it corrects; empty: unknown."""
    tokenizer_digest: str = ""
    """Digest of the tokenizer whose tokens the budget counts; empty: unknown."""
    c0: ConfidenceCalibration = ConfidenceCalibration()
    """Confidence before thinking."""
    cE: ConfidenceCalibration = ConfidenceCalibration()
    """Confidence at `</think>`."""
    budget: tuple[QuantileFactor, ...] = ()
    """Factors for all quantiles of the budget head; empty: forecasts are not corrected."""
    budget_clip: Annotated[int, Field(ge=1)] | None = None
    """Upper bound of predicted quantiles, in think tokens."""
    slack: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Slack to use with this calibration; null: the slack of the settings."""
    head_temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """The plan head's logits are divided by it."""
    plan_thresholds: PlanThresholds = Field(default_factory=dict)
    """Least probability at which a plan may be chosen, by plan or index. A plan without one may always be chosen."""

    @field_validator("budget")
    @classmethod
    def _one_factor_a_quantile(cls, budget: tuple[QuantileFactor, ...]) -> tuple[QuantileFactor, ...]:
        if any(a.quantile >= b.quantile for a, b in pairwise(budget)):
            raise ValueError("the quantiles must rise, each with one factor")
        return budget

    @classmethod
    def identity(cls) -> Self:
        """Return a calibration that changes nothing."""
        return cls()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a file. Raises ConfigError that names the file, the key, and the valid values."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise ConfigError(f"{path}: there is no such calibration; `tina-azr calibrate` writes one.") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as a calibration: {error}.") from error
        except ValidationError as error:
            raise ConfigError("\n".join(f"{path}: {_sentence(problem)}." for problem in error.errors(include_url=False))) from error

    def save(self, path: Path) -> None:
        """Write the file. Equal calibrations give identical bytes."""
        path.write_text(json.dumps(self.model_dump(mode="json"), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @property
    def digest(self) -> str:
        """Digest of the content, in sixteen hexadecimal digits. It does not depend on the file's layout."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def apply_confidence(self, p: float, mode: str | None = None, *, moment: Moment = "c0") -> float:
        """Return a calibrated confidence. `mode` is the task mode, None in a chat; a mode without its own map uses the pooled map."""
        if not 0 <= p <= 1:
            raise ScoreError(f"a confidence is {p}, but must lie in [0, 1]")
        maps = self.c0 if moment == "c0" else self.cE
        return float(maps.by_mode.get(mode or "", maps.pooled).apply(np.array([p]))[0])

    def apply_budget(self, quantiles: Mapping[float, float]) -> dict[float, float]:
        """Return corrected budget quantiles in think tokens. They rise in their order, and none exceeds `budget_clip`."""
        factors = {entry.quantile: entry.factor for entry in self.budget}
        if factors and (unknown := sorted(set(quantiles) - set(factors))):
            raise ScoreError(
                f"the calibration was fitted to the budget quantiles {sorted(factors)}, not to {unknown[0]}: fit it again"
            )
        corrected, floor = {}, 0.0
        for quantile in sorted(quantiles):
            tokens = corrected_tokens(quantiles[quantile], factors[quantile]) if factors else quantiles[quantile]
            floor = max(floor, tokens)
            corrected[quantile] = floor if self.budget_clip is None else min(floor, float(self.budget_clip))
        return corrected

    def apply_plan(self, probabilities: Mapping[Plan, float]) -> dict[Plan, float]:
        """Return plan probabilities at the head's temperature."""
        powers = {plan: p ** (1 / self.head_temperature) for plan, p in probabilities.items()}
        total = sum(powers.values())
        return {plan: power / total for plan, power in powers.items()}

    def choose_plan(self, probabilities: Mapping[Plan, float]) -> Plan:
        """Return the most probable plan that reaches its threshold. If none does, return the most probable plan except `stop`."""
        reached = [plan for plan, p in probabilities.items() if p >= self.plan_thresholds.get(plan, 0.0)]
        return max(reached or [plan for plan in probabilities if plan is not Plan.STOP], key=lambda plan: probabilities[plan])

    def mismatches(self, *, policy_digest: str = "", heads_digest: str = "", tokenizer_digest: str = "") -> list[str]:
        """Return one sentence for each part that differs from the fitted one. A digest that is missing on either side is skipped."""
        pairs = (
            ("policy", self.policy_digest, policy_digest),
            ("heads", self.heads_digest, heads_digest),
            ("tokenizer", self.tokenizer_digest, tokenizer_digest),
        )
        return [
            f"The calibration was fitted to {what} {fitted}, but runs with {used}: its confidences and budgets may be wrong. "
            "Fit it again with `tina-azr calibrate`."
            for what, fitted, used in pairs
            if fitted and used and fitted != used
        ]


def corrected_tokens(tokens: float, factor: float) -> float:
    """Multiply a forecast of think tokens by its factor. A forecast below one token counts as one."""
    return factor * max(tokens, 1.0)


def tokenizer_digest(folder: Path) -> str:
    """Return the digest of a model folder's tokenizer.json, in sixteen hexadecimal digits."""
    return hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()[:16]


def _sentence(problem: ErrorDetails) -> str:
    path = [str(key) for key in problem["loc"]]
    dotted = ".".join(path)
    if problem["type"] == "json_invalid":
        return f"not JSON: {problem['ctx']['error']}"
    if problem["type"] == "extra_forbidden":
        known = _known_keys(path[:-1])
        near = difflib.get_close_matches(path[-1], known, n=1)
        meant = f" (did you mean `{near[0]}`?)" if near else ""
        return f"unknown key `{dotted}`{meant}. Keys there: {', '.join(known)}"
    if problem["type"] == "missing":
        return f"`{dotted}` is missing"
    where = f"`{dotted}`" if dotted else "the file"
    if problem["type"] == "value_error":
        return f"{where}: {problem['ctx']['error']}"
    return f"{where} is {problem['input']!r}, but must be {problem['msg'].removeprefix('Input should be ')}"


def _known_keys(path: list[str]) -> list[str]:
    """Return the valid keys of the object at `path`. The schema also describes items of dictionaries and lists."""
    schema = Calibration.model_json_schema()
    node: Any = schema
    for key in [*path, None]:
        while "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        if key is not None:
            node = node.get("properties", {}).get(key) or node.get("additionalProperties") or node.get("items") or {}
    return list(node.get("properties", {}))
