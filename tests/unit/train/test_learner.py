"""The learner on a real, small Qwen3: its gradient, what it merges, what it keeps, and that it writes weights where they are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tina_azr.config import Config, load_config
from tina_azr.errors import CheckpointError, RunError
from tina_azr.model.loading import Policy, load_policy
from tina_azr.model.logprobs import completion_logprobs
from tina_azr.rollout.types import Completion, StopCause
from tina_azr.selfplay.types import Rollout
from tina_azr.tasks.types import Role
from tina_azr.train.learner import Learner, merge_equal
from tina_azr.train.master_weights import MasterWeights


def completion(policy: Policy, prompt: tuple[int, ...], ids: list[int], forced: Sequence[int] = ()) -> Completion:
    ids_T = np.array(ids, dtype=np.int64)
    with torch.no_grad():
        logprobs = completion_logprobs(policy.module, [prompt], [ids_T], temperature=1.0).logprobs_T.numpy()
    forced_T = np.isin(np.arange(len(ids)), forced)
    return Completion(
        ids_T=ids_T,
        logprobs_T=np.where(forced_T, 0.0, logprobs).astype(np.float32),
        forced_T=forced_T,
        stop_cause=StopCause.STOP_ID,
        think_tokens=0,
        forced_close=False,
    )


def rollout(policy: Policy, prompt: list[int], ids: list[int], advantage: float, forced: Sequence[int] = ()) -> Rollout:
    return Rollout(
        role=Role.SOLVER,
        mode="deduction",
        group="g",
        prompt_ids=tuple(prompt),
        completion=completion(policy, tuple(prompt), ids, forced),
        answer=None,
        advantage=advantage,
    )


def batch(policy: Policy) -> list[Rollout]:
    return [
        rollout(policy, [1, 2, 3], [10, 11, 12], 0.5),
        rollout(policy, [1, 2, 3], [10, 11, 12], 0.5),
        rollout(policy, [5], [20, 21, 22, 23, 24, 25], -1.0),
        rollout(policy, [7, 8, 9, 10, 11], [30, 31], 0.7, forced=[1]),
        rollout(policy, [5], [40, 41], 0.0),
    ]


def config(*overrides: str) -> Config:
    return load_config(overrides=["learning.warmup_steps=0", "learning.lr=1e-3", "learning.max_grad_norm=1e6", *overrides])


def gradients(policy: Policy, settings: Config, monkeypatch: pytest.MonkeyPatch) -> dict[str, torch.Tensor]:
    """What one update would step along."""
    found: dict[str, torch.Tensor] = {}

    def keep(self: torch.optim.Optimizer) -> None:
        found.update({name: weight.grad.clone() for name, weight in policy.module.named_parameters() if weight.grad is not None})

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", keep)
        Learner(policy, settings).update(batch(policy), step=1)
    return found


@pytest.mark.parametrize("normalisation", ["sample", "token"])
def test_the_gradient_is_that_of_plain_reinforce_over_every_rollout(
    byte_policy: Policy, monkeypatch: pytest.MonkeyPatch, normalisation: str
) -> None:
    ours = gradients(byte_policy, config(f"learning.length_normalisation={normalisation}"), monkeypatch)
    trained = [(one, one.advantage) for one in batch(byte_policy) if one.advantage]
    tokens = sum(np.count_nonzero(~one.completion.forced_T) for one, _ in trained)
    objective = torch.zeros(())
    for one, advantage in trained:
        ids = torch.tensor([[*one.prompt_ids, *one.completion.ids_T.tolist()]])
        logprobs = byte_policy.module(input_ids=ids).logits[0].log_softmax(-1)
        start = len(one.prompt_ids)
        chosen = logprobs[range(start - 1, ids.shape[1] - 1), ids[0, start:]][torch.tensor(~one.completion.forced_T)]
        objective = objective - advantage * (chosen.sum() / tokens if normalisation == "token" else chosen.mean() / len(trained))
    byte_policy.module.zero_grad()
    objective.backward()
    for name, weight in byte_policy.module.named_parameters():
        torch.testing.assert_close(ours[name], weight.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_how_the_batch_is_cut_does_not_change_the_gradient(byte_policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gradients(byte_policy, config(), monkeypatch)
    cut = gradients(byte_policy, config("learning.micro_batch_tokens=16"), monkeypatch)
    for name in whole:
        torch.testing.assert_close(cut[name], whole[name], rtol=1e-4, atol=1e-7)


def test_layers_that_are_computed_again_give_the_same_gradient_from_less_memory(
    byte_policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kept_and_gradients(*overrides: str) -> tuple[int, dict[str, torch.Tensor]]:
        kept = 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal kept
            kept += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            found = gradients(byte_policy, config(*overrides), monkeypatch)
        return kept, found

    whole_bytes, whole = kept_and_gradients()
    inputs_bytes, inputs = kept_and_gradients("learning.gradient_checkpointing=true")
    for name in whole:
        assert torch.equal(inputs[name], whole[name]), name
    assert 2 * inputs_bytes < whole_bytes
    assert not any(part.training for part in byte_policy.module.modules())


def test_small_gradients_of_weights_stored_in_less_are_not_lost_among_large_ones(byte_model: Path) -> None:
    policy = load_policy(str(byte_model), device="cpu", dtype="bfloat16")
    masters = MasterWeights(policy.module)
    name, weight = next(iter(policy.module.named_parameters()))
    for size in (1.0, 2.0**-12, 2.0**-12):
        weight.grad = torch.full_like(weight, size)
        masters.take_gradients()
        assert weight.grad is None
    gradient = masters.weights[name].grad
    assert gradient is not None
    assert torch.equal(gradient, torch.full_like(gradient, 1.0 + 2.0**-11))


def test_the_learner_adds_up_micro_batches_in_float32(byte_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[torch.Tensor] = []

    def keep(self: torch.optim.Optimizer) -> None:
        found.extend(weight.grad.clone() for group in self.param_groups for weight in group["params"] if weight.grad is not None)

    monkeypatch.setattr(torch.optim.AdamW, "step", keep)
    policy = load_policy(str(byte_model), device="cpu", dtype="bfloat16")
    Learner(policy, config("learning.micro_batch_tokens=16", "learning.max_grad_norm=1e6")).update(batch(policy), step=1)
    assert any(not torch.equal(gradient, gradient.bfloat16().float()) for gradient in found)


def test_equal_rollouts_are_merged_and_zero_advantages_dropped(byte_policy: Policy) -> None:
    merged = merge_equal(batch(byte_policy))
    assert [(count, one.advantage) for one, count in merged] == [(2, 0.5), (1, -1.0), (1, 0.7)]


def test_rollouts_with_other_advantages_are_not_merged(byte_policy: Policy) -> None:
    merged = merge_equal([rollout(byte_policy, [1], [2, 3], advantage) for advantage in (0.5, -0.5)])
    assert [count for _, count in merged] == [1, 1]


def test_the_report_counts_and_finds_sampler_and_trainer_agreed(byte_policy: Policy) -> None:
    report = Learner(byte_policy, config()).update(batch(byte_policy), step=1)
    assert (report.samples, report.rows, report.tokens) == (4, 3, 11)
    assert report.ratio == pytest.approx(1.0, abs=1e-5)
    assert report.logprob_gap < 1e-4
    assert report.clip_fraction == 0.0
    assert report.entropy == pytest.approx(np.log(264), rel=0.05)
    assert report.grad_norm > 0.0


def test_an_update_writes_the_weights_where_they_are(byte_policy: Policy) -> None:
    places = {name: weight.data_ptr() for name, weight in byte_policy.module.named_parameters()}
    before = {name: weight.detach().clone() for name, weight in byte_policy.module.named_parameters()}
    Learner(byte_policy, config()).update(batch(byte_policy), step=1)
    assert {name: weight.data_ptr() for name, weight in byte_policy.module.named_parameters()} == places
    assert all(not torch.equal(weight, before[name]) for name, weight in byte_policy.module.named_parameters())


def test_an_update_makes_what_was_good_likelier_and_what_was_bad_less_so(byte_policy: Policy) -> None:
    rollouts = batch(byte_policy)
    before = [one.completion.logprobs_T[~one.completion.forced_T].sum() for one in rollouts]
    learner = Learner(byte_policy, config())
    learner.update(rollouts, step=1)
    after = [
        completion(byte_policy, one.prompt_ids, one.completion.ids_T.tolist()).logprobs_T[~one.completion.forced_T].sum()
        for one in rollouts
    ]
    assert after[0] > before[0]
    assert after[2] < before[2]


def test_where_nothing_can_be_learned_nothing_is_done(byte_policy: Policy) -> None:
    rollouts = [replace(one, advantage=0.0) for one in batch(byte_policy)]
    before = [weight.detach().clone() for weight in byte_policy.module.parameters()]
    learner = Learner(byte_policy, config())
    report = learner.update(rollouts, step=1)
    assert (report.samples, report.rows, report.loss) == (0, 0, 0.0)
    assert all(torch.equal(weight, old) for weight, old in zip(byte_policy.module.parameters(), before, strict=True))
    assert learner.state_json() == {"updates": 0}


def test_a_gradient_that_is_no_number_stops_the_run_and_spares_the_weights(byte_policy: Policy) -> None:
    rollouts = [replace(one, advantage=float("nan")) for one in batch(byte_policy)]
    before = [weight.detach().clone() for weight in byte_policy.module.parameters()]
    with pytest.raises(RunError, match=r"step 4: the gradient's norm is nan.*learning\.lr"):
        Learner(byte_policy, config()).update(rollouts, step=4)
    assert all(torch.equal(weight, old) for weight, old in zip(byte_policy.module.parameters(), before, strict=True))


def test_a_restored_learner_goes_on_to_the_same_bit(byte_model: Path) -> None:
    alone, first = (load_policy(str(byte_model), device="cpu") for _ in range(2))
    settings = config()
    learner = Learner(alone, settings)
    for step in (1, 2, 3):
        learner.update(batch(alone), step=step)

    before = Learner(first, settings)
    for step in (1, 2):
        before.update(batch(first), step=step)
    second = load_policy(str(byte_model), device="cpu")
    second.module.load_state_dict(first.module.state_dict())
    after = Learner(second, settings)
    after.load_state_tensors({name: tensor.clone() for name, tensor in before.state_tensors().items()})
    after.load_state_json(before.state_json())
    after.update(batch(second), step=3)

    for name, weight in alone.module.named_parameters():
        assert torch.equal(second.module.get_parameter(name), weight), name


def test_another_models_state_is_refused(byte_policy: Policy) -> None:
    learner = Learner(byte_policy, config())
    learner.update(batch(byte_policy), step=1)
    state = learner.state_tensors()
    renamed = {f"{name}x": tensor for name, tensor in state.items()}
    reshaped = {name: tensor[..., :1] for name, tensor in state.items()}
    for wrong in (renamed, reshaped):
        with pytest.raises(CheckpointError, match="another model"):
            Learner(byte_policy, config()).load_state_tensors(wrong)


def test_a_learner_that_has_not_learned_is_restored_as_such(byte_policy: Policy) -> None:
    fresh = Learner(byte_policy, config())
    again = Learner(byte_policy, config())
    again.load_state_tensors(fresh.state_tensors())
    again.load_state_json(fresh.state_json())
    assert again.state_json() == {"updates": 0}


def test_updates_and_moments_that_do_not_fit_are_refused(byte_policy: Policy) -> None:
    with pytest.raises(CheckpointError, match="counts 3 updates"):
        Learner(byte_policy, config()).load_state_json({"updates": 3})


def test_steps_too_small_for_bfloat16_add_up_in_its_float32_masters(byte_model: Path) -> None:
    policy = load_policy(str(byte_model), device="cpu", dtype="bfloat16")
    name, weight = "model.norm.weight", policy.module.model.norm.weight
    learner = Learner(policy, config("learning.lr=3e-5"))
    for step in range(1, 11):
        learner.update(batch(policy), step=step)
    master = learner.state_tensors()[f"master.{name}"]
    assert torch.equal(weight, torch.ones_like(weight)), "3e-5 beside 1 is below bfloat16's resolution"
    assert (master - 1.0).abs().max() > 1e-4
    assert master.dtype == torch.float32
