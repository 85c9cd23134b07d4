"""One round of self-play with a scripted policy: who is tried, what is earned, what is learned from, what is remembered."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tina_azr.config import Config, load_config
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import RolloutEngine
from tina_azr.selfplay.episode import SelfPlay
from tina_azr.selfplay.types import Episode
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.identity import task_key
from tina_azr.tasks.types import Reference, RejectReason, Role, Verdict

Scripted = Callable[[Callable[[str, int], str | None]], Any]

SEEDS = (
    Reference(program="def f(x):\n    return x + 1", input="2", output="3"),
    Reference(program="def f(x):\n    x = x * 2\n    return x - 1", input="4", output="7"),
)
DOUBLE = "def f(x):\n    return x * 2"
LONG = "def f(x):\n    x = x + 1\n    x = x * 2\n    x = x - 3\n    x = x * 5\n    return x + 7"


def proposal(program: str, given: str = "5") -> str:
    return f"\n</think>\n\n```python\n{program}\n```\n```input\n{given}\n```\n"


def output(value: str) -> str:
    return f"\n</think>\n\n```output\n{value}\n```\n"


def config(*overrides: str) -> Config:
    small = ("tasks.modes=[deduction]", "selfplay.proposals_per_mode=1", "selfplay.group_size=4", "tasks.max_prompt_tokens=600")
    return load_config(overrides=[*small, *overrides])


@pytest.fixture
def buffer(tmp_path: Path) -> Any:
    with TaskBuffer.create(tmp_path / "tasks.sqlite", config().tasks, SEEDS) as opened:
        yield opened


@pytest.fixture
def play(byte_policy: Policy, in_process: Any, buffer: TaskBuffer) -> Callable[..., Episode]:
    def once(engine: RolloutEngine, *overrides: str, step: int = 1, held_out: frozenset[str] = frozenset()) -> Episode:
        return SelfPlay(byte_policy, engine, in_process, buffer, config(*overrides), held_out_keys=held_out).play(step)

    return once


def proposing(program: str, *answers: str | None) -> Callable[[str, int], str | None]:
    """Propose this program, and answer in turn."""
    return lambda prompt, index: answers[index % len(answers)] if "Predict the output" in prompt else proposal(program)


def test_a_task_that_half_of_the_tries_solve_pays_proposer_and_solvers(play: Any, scripted: Scripted, buffer: TaskBuffer) -> None:
    episode = play(scripted(proposing(DOUBLE, output("10"), output("11"), output("10"), None)))

    (record,) = episode.proposals
    assert record.task is not None
    assert (record.reject, record.pass_rate, record.rollout.reward) == (None, 0.5, 0.5)
    (group,) = episode.groups
    assert [rollout.verdict for rollout in group.rollouts] == [
        Verdict.CORRECT,
        Verdict.WRONG,
        Verdict.CORRECT,
        Verdict.MALFORMED,
    ]
    assert [rollout.reward for rollout in group.rollouts] == [1.0, -0.5, 1.0, -1.0]
    assert [(rollout.role, rollout.reward) for rollout in episode.rollouts] == [
        (Role.PROPOSER, 0.5),
        (Role.SOLVER, 1.0),
        (Role.SOLVER, -0.5),
        (Role.SOLVER, 1.0),
        (Role.SOLVER, -1.0),
    ]
    assert len({rollout.group for rollout in episode.rollouts if rollout.role is Role.SOLVER}) == 1
    assert buffer.pass_rate(record.task.key) == 0.5
    assert episode.programs_run > 0
    assert set(episode.seconds) == {"propose", "validate", "solve", "grade"}


@pytest.mark.parametrize(
    ("answer", "reason", "reward"),
    [
        (None, RejectReason.NO_ANSWER, -1.0),
        ("\n</think>\n\nlet us see", RejectReason.MALFORMED, -1.0),
        (proposal("def f(x):\n    return x / 0"), RejectReason.RAISES, -1.0),
        (proposal(SEEDS[0].program, "2"), RejectReason.DUPLICATE, -0.5),
        (proposal(LONG), RejectReason.OVER_LENGTH_CAP, 0.0),
    ],
)
def test_a_proposal_that_becomes_no_task_earns_its_price_and_is_learned_from(
    play: Any, scripted: Scripted, buffer: TaskBuffer, answer: str | None, reason: RejectReason, reward: float
) -> None:
    episode = play(scripted(lambda prompt, index: answer))
    (record,) = episode.proposals
    assert (record.reject, record.rollout.reward, record.task, record.pass_rate) == (reason, reward, None, None)
    assert [rollout.role for rollout in episode.rollouts] == [Role.PROPOSER]
    assert episode.groups == ()
    assert len(buffer) == 0


def test_what_was_a_task_once_is_a_duplicate_afterwards(play: Any, scripted: Scripted) -> None:
    engine = scripted(proposing(DOUBLE, output("10")))
    assert play(engine, step=1).proposals[0].reject is None
    assert play(engine, step=2).proposals[0].reject is RejectReason.DUPLICATE


def test_a_held_out_task_is_neither_tried_nor_remembered(play: Any, scripted: Scripted, buffer: TaskBuffer) -> None:
    held_out = frozenset({task_key("deduction", DOUBLE, ("5",))})
    episode = play(scripted(proposing(DOUBLE, output("10"))), held_out=held_out)
    assert episode.proposals[0].reject is RejectReason.HELD_OUT
    assert episode.groups == ()
    assert len(buffer) == 0


def test_what_is_beyond_reach_may_come_again_once_it_is_not(play: Any, scripted: Scripted) -> None:
    engine = scripted(proposing(LONG, output("67")))
    assert play(engine, step=1).proposals[0].reject is RejectReason.OVER_LENGTH_CAP
    assert play(engine, "selfplay.length_cap=null", step=2).proposals[0].reject is None


def test_a_task_whose_prompt_is_too_long_to_be_read_is_refused(play: Any, scripted: Scripted) -> None:
    wordy = f"def f(x):\n    # {'so ' * 80}\n    return x * 3"
    (record,) = play(scripted(proposing(wordy, output("15"))), "tasks.max_prompt_tokens=250").proposals
    assert record.reject is RejectReason.TOO_LONG
    assert "250 are allowed" in record.detail


def test_a_known_task_is_tried_again_in_place_of_a_proposal_that_came_to_nothing(
    play: Any, scripted: Scripted, buffer: TaskBuffer
) -> None:
    first = play(scripted(proposing(DOUBLE, output("10"), output("11"))), step=1)
    second = play(scripted(proposing(DOUBLE, output("10"))), step=2)
    assert second.proposals[0].reject is RejectReason.DUPLICATE
    assert [group.task.key for group in second.groups] == [first.groups[0].task.key]
    assert buffer.pass_rate(first.groups[0].task.key) == pytest.approx((0.5 * 2 + 4) / (0.5 * 4 + 4))


def test_the_control_differs_in_the_learners_rewards_alone(
    byte_policy: Policy, in_process: Any, scripted: Scripted, tmp_path: Path
) -> None:
    episodes = []
    for name, overrides in (("true", ()), ("random", ("selfplay.random_rewards=true",))):
        settings = config("selfplay.group_size=16", *overrides)
        engine = scripted(proposing(DOUBLE, output("10"), output("11"), None))
        with TaskBuffer.create(tmp_path / f"{name}.sqlite", settings.tasks, SEEDS) as opened:
            episodes.append(SelfPlay(byte_policy, engine, in_process, opened, settings).play(1))
    true, control = episodes
    assert [record.rollout.reward for record in control.proposals] == [record.rollout.reward for record in true.proposals]
    rewards = [[rollout.reward for rollout in episode.groups[0].rollouts] for episode in episodes]
    assert rewards[0] == rewards[1]
    assert [rollout.reward for rollout in control.rollouts] != [rollout.reward for rollout in true.rollouts]
    assert sorted(rollout.reward for rollout in control.rollouts) == sorted(rollout.reward for rollout in true.rollouts)


INPUTS = "".join(f"```input\n{number}\n```\n" for number in range(5))


@pytest.mark.parametrize(("rate", "trained"), [("0.0", 4), ("0.25", 0)])
def test_induction_is_learned_from_only_where_enough_tries_succeed(play: Any, scripted: Scripted, rate: str, trained: int) -> None:
    asked: list[str] = []

    def script(prompt: str, index: int) -> str:
        if "Write the function" in prompt:
            (described,) = (seed.program for seed in SEEDS if seed.program in asked[0])
            program = described if index == 0 else "def f(x):\n    return -x"
            return f"\n</think>\n\n```python\n{program}\n```\n"
        asked.append(prompt)
        return f"\n</think>\n\n{INPUTS}```message\nwhat it says\n```\n"

    episode = play(scripted(script), "tasks.modes=[induction]", f"selfplay.induction_min_pass_rate={rate}")
    (record,) = episode.proposals
    assert record.pass_rate == 0.25, record.detail
    assert sum(rollout.role is Role.SOLVER for rollout in episode.rollouts) == trained
    assert len(episode.groups) == 1


def test_half_of_those_who_invent_are_asked_to_extend(play: Any, scripted: Scripted) -> None:
    engine = scripted(lambda prompt, index: None)
    play(engine, "tasks.modes=[deduction, induction]", "selfplay.proposals_per_mode=6")
    prompts = engine.prompts()
    assert sum("Add a step to this predict task" in prompt for prompt in prompts) == 3
    assert sum("Propose a new predict task" in prompt for prompt in prompts) == 3
    assert sum("Propose inputs and a message" in prompt for prompt in prompts) == 6


def test_the_same_seed_and_step_ask_the_engine_the_same(play: Any, scripted: Scripted) -> None:
    engines = [scripted(lambda prompt, index: None) for _ in range(2)]
    for step, engine in zip((1, 2), engines, strict=True):
        play(engine, "selfplay.proposals_per_mode=8", step=step)
    assert engines[0].requests != engines[1].requests
    again = scripted(lambda prompt, index: None)
    with pytest.raises(Exception, match="holds step 2 already"):
        play(again, "selfplay.proposals_per_mode=8", step=1)
    assert again.requests == engines[0].requests


def test_a_round_that_is_given_up_leaves_no_trace(play: Any, scripted: Scripted, buffer: TaskBuffer) -> None:
    def script(prompt: str, index: int) -> str:
        if "Predict the output" in prompt:
            raise KeyboardInterrupt
        return proposal(DOUBLE)

    with pytest.raises(KeyboardInterrupt):
        play(scripted(script))
    assert len(buffer) == 0
    assert buffer.last_step is None
    assert play(scripted(proposing(DOUBLE, output("10")))).proposals[0].reject is None


def test_the_buffer_knows_how_each_length_went_lately(play: Any, scripted: Scripted, buffer: TaskBuffer) -> None:
    play(scripted(proposing(DOUBLE, output("10"), output("11"))), step=1)
    play(scripted(proposing("def f(x):\n    x = x * 3\n    return x - x % 2", output("14"))), step=2)
    assert buffer.rollouts_by_length(1) == {("deduction", 1): (2, 4), ("deduction", 2): (4, 4)}
    assert buffer.rollouts_by_length(2) == {("deduction", 2): (4, 4)}
    assert buffer.seeds == SEEDS


def test_a_prompt_that_needs_a_reference_gets_one_where_none_are_to_be_shown(play: Any, scripted: Scripted) -> None:
    engine = scripted(lambda prompt, index: None)
    play(engine, "tasks.references=0", "selfplay.proposals_per_mode=2")
    assert all(any(seed.program in prompt for seed in SEEDS) for prompt in engine.prompts())
