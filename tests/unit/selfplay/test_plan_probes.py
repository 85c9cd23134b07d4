"""Plans are grounded by outcome: without a thought, and under each hint."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tina_azr.introspection.types import Plan
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import SamplingParams
from tina_azr.selfplay.plan_probes import HINTS, PlanProbe, plan_target, probe_plans
from tina_azr.tasks.types import Task
from tina_azr.text.style import PromptStyle

Scripted = Callable[[Callable[[str, int], str | None]], Any]
TASK = Task(key="a" * 64, mode="deduction", program="def f(x):\n    return x * 2", input="5", output="10")


def probe(stop_rate: float, **values: float) -> PlanProbe:
    return PlanProbe(stop_rate=stop_rate, values={Plan(name): value for name, value in values.items()})


@pytest.mark.parametrize(("pass_rate", "stop_rate"), [(0.5, 0.5), (0.5, 0.4), (0.0, 0.0), (0.2, 1.0)])
def test_stop_is_right_where_a_thought_brings_nothing(pass_rate: float, stop_rate: float) -> None:
    assert plan_target(pass_rate, probe(stop_rate, outline=0.9, verify=0.0, decompose=0.0)) == (0.0, 0.0, 0.0, 1.0)


def test_where_thinking_helps_the_best_hint_is_the_likeliest_plan() -> None:
    outline, verify, decompose, stop = plan_target(0.9, probe(0.2, outline=0.5, verify=0.75, decompose=0.0))
    assert stop == 0.0
    assert outline + verify + decompose == pytest.approx(1.0)
    assert verify / outline == pytest.approx(2.718281828, rel=1e-6)  # a quarter better at a temperature of a quarter
    assert outline > decompose


@pytest.mark.parametrize("found", [probe(0.2), probe(0.2, outline=0.5, verify=0.5, decompose=0.5)])
def test_hints_that_are_equal_or_unknown_are_even(found: PlanProbe) -> None:
    assert plan_target(0.9, found) == pytest.approx((1 / 3, 1 / 3, 1 / 3, 0.0))


def output(value: str) -> str:
    return f"\n</think>\n\n```output\n{value}\n```\n"


def run(policy: Policy, engine: Any, executor: Any, size: int = 4) -> PlanProbe:
    params = SamplingParams(max_tokens=100, think_limit=60)
    (found,) = probe_plans(policy, engine, executor, [TASK], size=size, params=params, seeds=[7])
    return found


def test_a_compact_prompt_is_probed_without_a_thought_alone(byte_policy: Policy, scripted: Scripted, in_process: Any) -> None:
    engine = scripted(lambda prompt, index: output("10" if index < 3 else "11"))
    found = run(byte_policy, engine, in_process)
    assert found == PlanProbe(stop_rate=0.75, values={})
    assert [request.params.think_limit for request in engine.requests] == [0]


def test_a_worded_prompt_is_probed_with_every_hint(byte_policy: Policy, scripted: Scripted, in_process: Any) -> None:
    def script(prompt: str, index: int) -> str:
        if HINTS[Plan.VERIFY] in prompt:
            return output("10")
        return output("10" if HINTS[Plan.OUTLINE] in prompt and index % 2 else "no")

    engine = scripted(script)
    found = run(replace(byte_policy, style=PromptStyle.FULL), engine, in_process)
    assert found.stop_rate == 0.0
    price = 0.2 * 1 / 100  # one think token of a hundred
    assert found.values == pytest.approx({Plan.OUTLINE: 0.5 - price, Plan.VERIFY: 1.0 - price, Plan.DECOMPOSE: -price})
    think_limits = [request.params.think_limit for request in engine.requests]
    assert think_limits == [0, 60, 60, 60], "only the first arm goes without a thought"
    prompts = engine.prompts()
    assert all(sum(hint in prompt for prompt in prompts) == 1 for hint in HINTS.values())


def test_every_arm_has_a_seed_of_its_own(byte_policy: Policy, scripted: Scripted, in_process: Any) -> None:
    engine = scripted(lambda prompt, index: output("10"))
    run(replace(byte_policy, style=PromptStyle.FULL), engine, in_process)
    assert len({request.seed for request in engine.requests}) == 4


def test_progress_counts_all_arms(byte_policy: Policy, scripted: Scripted, in_process: Any) -> None:
    seen: list[tuple[int, int]] = []
    probe_plans(
        replace(byte_policy, style=PromptStyle.FULL),
        scripted(lambda prompt, index: output("10")),
        in_process,
        [TASK, TASK],
        size=3,
        params=SamplingParams(max_tokens=100),
        seeds=[1, 2],
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(0, 24), (6, 24), (12, 24), (18, 24)]
