"""Tests of heads files: saved heads load bit by bit, and damaged or mismatched files are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tina_azr.errors import ModelError
from tina_azr.introspection.heads import HeadShape, LinkedHeads
from tina_azr.introspection.heads_file import WHOLE, AnyHeads, HeadFacts, head_names, load_heads, save_heads, weights_digest

Make = Callable[..., AnyHeads]
FACTS = HeadFacts(policy_digest="0123456789abcdef", labels=640, step=12)


@pytest.fixture
def saved(make_heads: Make, tmp_path: Path) -> Path:
    save_heads(make_heads("linked", experts=2), FACTS, tmp_path)
    return tmp_path


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / "heads.json").read_text())
    change(document)
    (folder / "heads.json").write_text(json.dumps(document))


@pytest.mark.parametrize("form", [{"kind": "linear"}, {"kind": "tap"}, {"kind": "linked", "aggregator": "mean", "experts": 3}])
def test_saved_heads_load_bit_by_bit(make_heads: Make, tmp_path: Path, form: dict[str, Any]) -> None:
    heads = make_heads(**form, seed=9)
    save_heads(heads, FACTS, tmp_path)
    found = load_heads(tmp_path)
    assert found is not None
    assert found.facts == FACTS
    assert found.heads.shape == heads.shape
    assert found.digest == weights_digest(heads)
    states = torch.randn(4, 3, 12)
    ours, theirs = heads.predict(states), found.heads.predict(states)
    assert torch.equal(ours.c0_logits_N, theirs.c0_logits_N)
    assert torch.equal(ours.log_quantiles_NQ, theirs.log_quantiles_NQ)


def test_a_folder_without_heads_gives_none(tmp_path: Path) -> None:
    assert load_heads(tmp_path) is None
    assert head_names(tmp_path) == ()


def test_heads_for_comparison_are_saved_next_to_the_primary_heads(make_heads: Make, saved: Path) -> None:
    save_heads(make_heads("linear"), FACTS, saved, name="linear")
    save_heads(make_heads("tap"), FACTS, saved, name="tap")
    assert head_names(saved) == ("linear", "tap")
    primary, named = load_heads(saved), load_heads(saved, "linear")
    assert primary is not None
    assert named is not None
    assert (primary.heads.shape.kind, named.heads.shape.kind) == ("linked", "linear")


def test_any_weight_changes_the_digest(make_heads: Make) -> None:
    heads = make_heads("tap")
    seen = {weights_digest(heads)}
    with torch.no_grad():
        for parameter in heads.parameters():
            for index in (0, parameter.numel() // 2, parameter.numel() - 1):
                parameter.view(-1)[index] += 1e-3
                seen.add(weights_digest(heads))
    assert len(seen) == 1 + 3 * len(list(heads.parameters()))


def test_any_training_step_changes_the_digest_of_a_large_module() -> None:
    module = torch.nn.Linear(2_100, 2_000)
    assert sum(parameter.numel() for parameter in module.parameters()) > WHOLE
    before = weights_digest(module)
    assert weights_digest(module) == before
    with torch.no_grad():
        module.weight += 1e-6
    assert weights_digest(module) != before


def test_a_changed_weight_is_detected(saved: Path) -> None:
    tensors = load_file(saved / "heads.safetensors")
    tensors["trunk.first.weight"][3, 4] += 1e-4
    save_file(tensors, saved / "heads.safetensors")
    with pytest.raises(ModelError, match=r"heads\.safetensors does not belong to .*heads\.json: their digests differ"):
        load_heads(saved)


def test_weights_of_other_heads_are_refused(make_heads: Make, saved: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save_heads(make_heads("linked", experts=2, seed=2), FACTS, other)
    (other / "heads.safetensors").replace(saved / "heads.safetensors")
    with pytest.raises(ModelError, match="digests differ"):
        load_heads(saved)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: cut(folder / "heads.safetensors"),
        lambda folder: cut(folder / "heads.json"),
        lambda folder: (folder / "heads.safetensors").write_bytes(b"\x00" * 64),
        lambda folder: (folder / "heads.safetensors").unlink(),
        lambda folder: (folder / "heads.json").write_bytes(b"\xff\xfe"),
        lambda folder: (folder / "heads.json").write_text("[]"),
        lambda folder: (folder / "heads.json").write_text('"heads"'),
        lambda folder: edit(folder, lambda document: document.pop("policy_digest")),
        lambda folder: edit(folder, lambda document: document.pop("shape")),
        lambda folder: edit(folder, lambda document: document["shape"].update(colour="red")),
        lambda folder: edit(folder, lambda document: document["shape"].pop("taps")),
        lambda folder: edit(folder, lambda document: document["shape"].update(taps=[0, 2])),
        lambda folder: edit(folder, lambda document: document["shape"].update(width="wide")),
        lambda folder: edit(folder, lambda document: document["shape"].update(experts=3)),
    ],
)
def test_damaged_files_are_refused_and_named(saved: Path, damage: Callable[[Path], object]) -> None:
    damage(saved)
    with pytest.raises(ModelError, match=r"cannot be used .*: remove heads\.json and heads\.safetensors, or fit them again"):
        load_heads(saved)


def test_another_format_is_refused(saved: Path) -> None:
    edit(saved, lambda document: document.update(format=2))
    with pytest.raises(ModelError, match="of format 2, this version reads 1"):
        load_heads(saved)


def test_an_unknown_form_is_refused(saved: Path) -> None:
    edit(saved, lambda document: document["shape"].update(kind="crystal"))
    with pytest.raises(ModelError, match="`crystal`; known are linear, tap, linked"):
        load_heads(saved)


def test_an_unknown_aggregator_is_refused(saved: Path) -> None:
    edit(saved, lambda document: document["shape"].update(aggregator="crystal"))
    with pytest.raises(ModelError, match="the aggregator `crystal`; known are attention, mean"):
        load_heads(saved)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    heads = LinkedHeads(HeadShape(kind="linked", taps=(0, 1), hidden_size=4, width=4))
    with torch.no_grad():
        heads.close.weight.fill_(float("inf"))
    save_heads(heads, FACTS, tmp_path)
    with pytest.raises(ModelError, match="not finite"):
        load_heads(tmp_path)
