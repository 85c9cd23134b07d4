"""Tests of the decode engine: ids equal those of transformers, log-probabilities those of the learner, in any batch."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tina_azr.benchmarks.hf_generate import HFGenerate
from tina_azr.errors import ModelError
from tina_azr.model.loading import Policy
from tina_azr.model.logprobs import completion_logprobs
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import Completion, RolloutRequest, SamplingParams, StopCause

PROMPTS = ("a", "some words", "def f(x):\n    return x + 1", "q" * 40)
SAMPLED = SamplingParams(max_tokens=24)
GREEDY = SamplingParams(max_tokens=24, temperature=0.0)


def requests(
    policy: Policy, params: SamplingParams, *, group_size: int = 1, prompts: Sequence[str] = PROMPTS
) -> list[RolloutRequest]:
    return [
        RolloutRequest(prompt_ids=policy.tokenizer.render(text), group_size=group_size, params=params, seed=number)
        for number, text in enumerate(prompts)
    ]


def complete(
    policy: Policy,
    asked: list[RolloutRequest],
    *,
    slots: int = 64,
    engine: type[DecodeEngine] | type[HFGenerate] = DecodeEngine,
) -> list[Completion]:
    groups = engine(policy, slots=slots).generate(asked)
    return [completion for group in groups for completion in group.completions_G]


def ids(completions: list[Completion]) -> list[list[int]]:
    return [completion.ids_T.tolist() for completion in completions]


def test_greedy_ids_equal_transformers_generate(byte_policy: Policy) -> None:
    asked = requests(byte_policy, GREEDY)
    assert ids(complete(byte_policy, asked)) == ids(complete(byte_policy, asked, engine=HFGenerate))


def test_logprobs_equal_the_learners(byte_policy: Policy) -> None:
    params = SamplingParams(max_tokens=24, temperature=0.7)
    asked = requests(byte_policy, params, group_size=3)
    completions = complete(byte_policy, asked)
    with torch.no_grad():
        learner = completion_logprobs(
            byte_policy.module,
            [request.prompt_ids for request in asked for _ in range(3)],
            [completion.ids_T for completion in completions],
            temperature=0.7,
        )
    sampler = np.concatenate([completion.logprobs_T for completion in completions])
    np.testing.assert_allclose(sampler, learner.logprobs_T.numpy(), atol=1e-4)


def test_the_same_call_gives_the_same_bits(byte_policy: Policy) -> None:
    asked = requests(byte_policy, SAMPLED, group_size=4)
    first, second = complete(byte_policy, asked), complete(byte_policy, asked)
    assert ids(first) == ids(second)
    assert all(np.array_equal(one.logprobs_T, other.logprobs_T) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("slots", [1, 3, 5])
def test_completions_do_not_depend_on_the_number_of_slots(byte_policy: Policy, slots: int) -> None:
    asked = requests(byte_policy, SAMPLED, group_size=4)
    assert ids(complete(byte_policy, asked, slots=slots)) == ids(complete(byte_policy, asked))


def test_a_completion_does_not_depend_on_its_neighbours(byte_policy: Policy) -> None:
    together = complete(byte_policy, requests(byte_policy, SAMPLED, group_size=2))
    alone = complete(byte_policy, requests(byte_policy, SAMPLED, group_size=2)[2:3])
    assert ids(alone) == ids(together[4:6])


def test_completions_of_a_group_differ(byte_policy: Policy) -> None:
    completions = complete(byte_policy, requests(byte_policy, SAMPLED, group_size=8, prompts=PROMPTS[:1]))
    assert len({tuple(one) for one in ids(completions)}) == 8


def test_rows_of_different_length_and_temperature_share_a_batch(byte_policy: Policy) -> None:
    greedy, sampled = requests(byte_policy, GREEDY)[:2], requests(byte_policy, SamplingParams(max_tokens=5))[2:]
    mixed = complete(byte_policy, [*greedy, *sampled])
    assert ids(mixed[:2]) == ids(complete(byte_policy, greedy))
    assert [len(one.ids_T) for one in mixed[2:]] == [5, 5]


@pytest.mark.parametrize("params", [SamplingParams(max_tokens=24, top_k=1), SamplingParams(max_tokens=24, top_p=1e-6)])
def test_the_narrowest_top_p_or_top_k_is_greedy(byte_policy: Policy, params: SamplingParams) -> None:
    assert ids(complete(byte_policy, requests(byte_policy, params))) == ids(complete(byte_policy, requests(byte_policy, GREEDY)))


def test_sampling_follows_the_distribution(byte_policy: Policy) -> None:
    asked = requests(byte_policy, SamplingParams(max_tokens=1), group_size=4000, prompts=PROMPTS[:1])
    counts = np.bincount([one.ids_T[0] for one in complete(byte_policy, asked, slots=500)], minlength=264)
    with torch.no_grad():
        logits = byte_policy.module(torch.tensor([asked[0].prompt_ids])).logits[0, -1]
    expected = 4000 * logits.softmax(-1).numpy()
    # Chi-square over 264 ids: mean 263, standard deviation 23.
    assert ((counts - expected) ** 2 / expected).sum() < 263 + 5 * 23


def test_the_think_limit_forces_the_closing_ids_and_marks_them(byte_policy: Policy) -> None:
    (completion,) = complete(byte_policy, requests(byte_policy, SamplingParams(max_tokens=120, think_limit=6), prompts=["a"]))
    closing = list(byte_policy.closing_ids)
    assert completion.ids_T[6 : 6 + len(closing)].tolist() == closing[: len(completion.ids_T) - 6]
    assert np.flatnonzero(completion.forced_T).tolist() == list(range(6, 6 + len(closing)))
    assert (completion.logprobs_T[completion.forced_T] == 0).all()
    assert (completion.logprobs_T[~completion.forced_T] < 0).all()
    assert completion.forced_close
    assert completion.think_tokens == 6 + closing.index(byte_policy.tokenizer.think_close_id)


def test_max_tokens_ends_a_completion(byte_policy: Policy) -> None:
    for completion in complete(byte_policy, requests(byte_policy, SAMPLED, group_size=4)):
        stopped = int(completion.ids_T[-1]) in byte_policy.tokenizer.stop_ids
        assert completion.stop_cause is (StopCause.STOP_ID if stopped else StopCause.LENGTH)
        assert stopped or len(completion.ids_T) == 24


def test_a_stop_id_ends_a_completion(byte_policy: Policy) -> None:
    stop = byte_policy.tokenizer.stop_ids[0]
    with torch.no_grad():
        # The final norm's output has mean square 1 a feature, so a head row along it wins everywhere.
        byte_policy.module.model.embed_tokens.weight[stop] = 0.0
    free = complete(byte_policy, requests(byte_policy, GREEDY))
    wanted = int(free[0].ids_T[3])
    tokenizer = byte_policy.tokenizer
    tokenizer.stop_ids = (wanted,)
    stopped = complete(byte_policy, requests(byte_policy, GREEDY))
    first = free[0].ids_T.tolist().index(wanted)
    assert stopped[0].ids_T.tolist() == free[0].ids_T[: first + 1].tolist()
    assert stopped[0].stop_cause is StopCause.STOP_ID


def test_the_next_token_uses_the_weights_after_an_optimizer_step(byte_policy: Policy) -> None:
    engine = DecodeEngine(byte_policy, slots=8)
    asked = requests(byte_policy, GREEDY)
    before = [group.completions_G[0].ids_T.tolist() for group in engine.generate(asked)]
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in byte_policy.module.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    after = [group.completions_G[0].ids_T.tolist() for group in engine.generate(asked)]
    assert after != before
    assert after == ids(complete(byte_policy, asked, engine=HFGenerate))


def test_progress_counts_completions(byte_policy: Policy) -> None:
    seen: list[tuple[int, int]] = []
    DecodeEngine(byte_policy, slots=3).generate(
        requests(byte_policy, SAMPLED, group_size=2), lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (8, 8)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_request_beyond_the_models_positions_is_refused(byte_policy: Policy) -> None:
    with pytest.raises(ModelError, match="positions"):
        complete(byte_policy, requests(byte_policy, SamplingParams(max_tokens=2000)))
