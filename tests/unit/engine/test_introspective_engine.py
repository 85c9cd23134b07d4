"""Tests of the introspective engine on a random model."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tina_azr.engine.engine import IntrospectionWarning, IntrospectiveEngine
from tina_azr.engine.types import Event, Failed, Finished, FinishReason, Generation, GenerationRequest, Message, ThinkStop
from tina_azr.errors import ConfigError, ModelError, ServeError
from tina_azr.introspection.introspector import Introspector, close_extras
from tina_azr.introspection.types import BudgetSource, Plan
from tina_azr.model.loading import Policy
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import RolloutRequest, SamplingParams

Make = Callable[..., IntrospectiveEngine]


def ask(text: str = "hello", **fields: Any) -> GenerationRequest:
    return GenerationRequest(**({"messages": (Message(role="user", content=text),), "max_tokens": 120} | fields))


def one(engine: IntrospectiveEngine, request: GenerationRequest) -> Generation:
    return engine.generate([request])[0][0]


def sampled_thought(generation: Generation) -> int:
    forced_T = generation.completion.forced_T[: generation.think_tokens]
    return int((~forced_T).sum())


# The think limit.


@pytest.mark.parametrize("heads", [True, False])
def test_no_completion_exceeds_its_think_limit(make_engine: Make, heads: bool) -> None:
    engine = make_engine(heads=heads, slots=64, budget={"max_think_tokens": 25})
    asked = [ask("x" * number, seed=number, n=8, budget_tokens=number if number % 2 else None) for number in range(1, 13)]
    for generations in engine.generate(asked):
        for each in generations:
            assert sampled_thought(each) <= each.decision.think_limit
            assert each.think_stop is not ThinkStop.UNFINISHED


def test_closing_ids_are_forced_at_the_think_limit(policy: Policy, make_engine: Make) -> None:
    engine = make_engine(budget={"answer_reserve": 30, "max_think_tokens": 200})
    generation = one(engine, ask(max_tokens=80, budget_tokens=200, seed=1))
    closing = policy.closing_ids
    assert generation.decision.think_limit == 80 - 30 - len(closing)
    assert "lowered" in str(generation.decision.warning)
    think_limit = generation.decision.think_limit
    assert generation.completion.ids_T[think_limit : think_limit + len(closing)].tolist() == list(closing)
    assert (generation.think_stop, generation.forced_close) == (ThinkStop.THINK_LIMIT, True)
    assert len(generation.completion.ids_T) == 80
    assert generation.finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("tags", [("think",), ("<plan>",), ("plan", "plan")])
def test_engine_refuses_the_tags_that_the_config_check_refuses(make_engine: Make, tags: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"introspection\.tags"):
        make_engine(tags=tags)


# Who sets the budget.


def test_the_forecast_sets_the_budget(make_engine: Make) -> None:
    generation = one(make_engine(), ask(max_tokens=300))
    assert generation.forecast is not None
    assert generation.decision.source is BudgetSource.PREDICTED
    assert generation.decision.budget == np.ceil(generation.forecast.budget_quantiles[0.8])


def test_a_request_may_choose_a_quantile_or_a_number(make_engine: Make) -> None:
    engine = make_engine()
    median, number = (one(engine, ask(max_tokens=300, **field)) for field in ({"budget_quantile": 0.5}, {"budget_tokens": 33}))
    assert median.forecast is not None
    assert median.decision.budget == np.ceil(median.forecast.budget_quantiles[0.5])
    assert (number.decision.source, number.decision.budget, number.decision.think_limit) == (BudgetSource.REQUESTED, 33, 50)


def test_without_heads_the_default_budget_is_used(make_engine: Make) -> None:
    generation = one(make_engine(heads=False, budget={"max_think_tokens": 40}), ask(max_tokens=200))
    assert (generation.decision.source, generation.decision.budget) == (BudgetSource.DEFAULT, 40)
    assert (generation.forecast, generation.confidence_after) == (None, None)


def test_budget_of_zero_answers_without_reasoning(policy: Policy, make_engine: Make) -> None:
    generation = one(make_engine(), ask(budget_tokens=0))
    assert generation.completion.ids_T[: len(policy.closing_ids)].tolist() == list(policy.closing_ids)
    assert sampled_thought(generation) == 0


def test_slack_of_a_calibration_moves_the_think_limit(policy: Policy, introspector: Introspector, make_engine: Make) -> None:
    engine = make_engine(budget={"slack_quantile": None})
    before = one(engine, ask(max_tokens=300)).decision
    introspector.calibration = introspector.calibration.model_copy(update={"slack": 0.25})
    after = one(engine, ask(max_tokens=300)).decision
    assert before.think_limit == np.ceil(before.budget * 1.5)
    assert after.think_limit == np.ceil(after.budget * 1.25)


def test_stop_plan_is_obeyed_only_if_the_setting_is_on(introspector: Introspector, make_engine: Make) -> None:
    with torch.no_grad():
        introspector.heads.outputs[0].plan.bias[list(Plan).index(Plan.STOP)] = 50.0  # type: ignore[index, union-attr]
    free, obeying = make_engine(), make_engine(obey_stop_plan=True)
    assert one(free, ask()).forecast.plan_choice is Plan.STOP  # type: ignore[union-attr]
    assert one(free, ask()).decision.think_limit > 0
    assert one(obeying, ask()).decision.think_limit == 0
    assert one(obeying, ask(budget_tokens=10)).decision.think_limit > 0, "a caller's number goes before"


def test_a_prepared_request_is_the_same_request(policy: Policy, make_engine: Make) -> None:
    engine = make_engine()
    prepared = engine.prepare(ask(seed=5))
    assert (prepared.messages, prepared.prompt_ids) == ((), policy.tokenizer.render("hello"))
    assert engine.prepare(prepared) == prepared
    assert one(engine, prepared).completion.ids_T.tolist() == one(engine, ask(seed=5)).completion.ids_T.tolist()


# What heads say, and what they may not touch.


@pytest.mark.parametrize("heads", [True, False])
def test_heads_never_change_sampling_parameters(policy: Policy, make_engine: Make, heads: bool) -> None:
    """The ids equal those of the decode engine with the caller's parameters and the decided think limit."""
    sampling: dict[str, Any] = {"max_tokens": 70, "temperature": 0.8, "top_p": 0.9, "top_k": 40, "min_p": 0.01}
    generations = make_engine(heads=heads).generate([ask(seed=5, n=3, budget_tokens=20, **sampling)])[0]
    params = SamplingParams(min_think=1, think_limit=30, tagless_answer=True, **sampling)
    request = RolloutRequest(prompt_ids=policy.tokenizer.render("hello"), group_size=3, params=params, seed=5)
    (plain,) = DecodeEngine(policy, slots=8).generate([request])
    for generation, completion in zip(generations, plain.completions_G, strict=True):
        assert generation.completion.ids_T.tolist() == completion.ids_T.tolist()


def test_confidences_are_those_of_the_heads_on_the_states_that_were_read(make_engine: Make, introspector: Introspector) -> None:
    generation = one(make_engine(), ask(budget_tokens=12))
    states = generation.completion.close_states_LH
    assert states is not None
    expected = introspector.close_confidences(states[None], close_extras(generation.completion)[None])
    assert generation.confidence_after == expected[0]
    assert generation.forecast is not None
    assert sum(generation.forecast.plan.values()) == pytest.approx(1.0)
    assert generation.forecast.layers_L == (0, 1)


def test_an_answer_of_low_confidence_is_flagged(make_engine: Make) -> None:
    sure, unsure = (one(make_engine(abstain_below=bound), ask()) for bound in (0.0, 0.99))
    assert (sure.abstain, unsure.abstain) == (False, True)
    assert not one(make_engine(heads=False, abstain_below=0.99), ask()).abstain


def test_notes_about_the_heads_become_warnings(policy: Policy, introspector: Introspector) -> None:
    with pytest.warns(IntrospectionWarning, match="fitted to other weights"):
        engine = IntrospectiveEngine(policy, introspector=introspector, notes=["the heads were fitted to other weights"])
    assert engine.notes == ("the heads were fitted to other weights",)


# Seeds and groups.


def test_seed_reproduces_whatever_else_runs(make_engine: Make) -> None:
    wanted = ask("this one", seed=11, n=2, temperature=1.0)
    alone = make_engine().generate([wanted])[0]
    crowd = make_engine(slots=5).generate([ask("a", seed=1, n=3), ask("bcd" * 9, seed=2), wanted, ask("e", seed=3)])[2]
    assert [each.completion.ids_T.tolist() for each in alone] == [each.completion.ids_T.tolist() for each in crowd]
    other = make_engine().generate([ask("this one", seed=12, n=2)])[0]
    assert [each.completion.ids_T.tolist() for each in other] != [each.completion.ids_T.tolist() for each in alone]


def test_completions_of_one_request_share_a_forecast_and_differ(make_engine: Make) -> None:
    generations = make_engine(slots=3).generate([ask(n=7)])[0]
    assert [each.index for each in generations] == list(range(7))
    assert len({tuple(each.completion.ids_T.tolist()) for each in generations}) == 7
    assert len({id(each.forecast) for each in generations}) == 1


# Requests that cannot be done.


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"messages": ()}, "messages or prompt_ids"),
        ({"prompt_ids": (1,)}, "messages or prompt_ids"),
        ({"messages": (Message(role="tool", content="x"),)}, "role"),  # type: ignore[arg-type]
        ({"max_tokens": 5_000}, "positions"),
        ({"max_tokens": 0}, "at least one token"),
        ({"n": 0}, "at least one completion"),
        ({"temperature": -0.5}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"seed": -1}, "seed"),
        ({"stop": ("",)}, "stop string is empty"),
        ({"budget_tokens": 3, "budget_quantile": 0.5}, "not both"),
        ({"budget_quantile": 0.3}, "no budget quantile"),
        ({"budget_tokens": -1}, "budget_tokens"),
    ],
)
def test_invalid_request_is_refused_at_submission(make_engine: Make, fields: dict[str, Any], match: str) -> None:
    engine = make_engine()
    with pytest.raises(ServeError, match=match):
        engine.submit(ask(**fields), lambda event: None)
    assert not engine.step()


def test_nan_logits_fail_the_running_requests(policy: Policy, make_engine: Make) -> None:
    engine = make_engine()
    events: list[Event] = []
    with torch.no_grad():
        policy.module.model.norm.weight.fill_(float("nan"))
    ticket = engine.submit(ask(max_tokens=40), events.append)
    while engine.step():
        pass
    assert isinstance(events[-1], Failed)
    assert not any(isinstance(event, Finished) for event in events)
    cancelled: list[Event] = []
    later = engine.submit(ask(max_tokens=40), cancelled.append)
    engine.cancel(ticket)
    assert (later != ticket, cancelled, engine.running) == (True, [], 1), "the lost request's ticket names another's"
    engine.step()
    engine.cancel(later)
    assert isinstance(cancelled[-1], Failed)
    assert engine.running == 0


def test_nan_states_fail_the_request(policy: Policy, make_engine: Make) -> None:
    engine, events = make_engine(), []
    with torch.no_grad():
        policy.module.model.layers[0].mlp.down_proj.weight.fill_(float("nan"))
    engine.submit(ask(max_tokens=40), events.append)
    while engine.step():
        pass
    assert [type(event) for event in events] == [Failed]
    assert "not finite" in events[0].message


def test_release_frees_memory_only_between_requests(make_engine: Make) -> None:
    engine = make_engine()
    ticket = engine.submit(ask(), lambda event: None)
    engine.step()
    with pytest.raises(ModelError, match="still has completions"):
        engine.release()
    engine.cancel(ticket)
    engine.release()
    assert one(engine, ask(max_tokens=30)).answer_tokens >= 0
