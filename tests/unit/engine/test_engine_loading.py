"""Tests of opening an engine: heads and calibration of the folder, defaults from its files, warnings."""

import datetime
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tina_azr.engine.engine import IntrospectionWarning
from tina_azr.engine.loading import find_introspector, model_folder, open_engine
from tina_azr.engine.settings import EngineSettings, resolve
from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.errors import ModelError
from tina_azr.introspection.calibration import CALIBRATION, Calibration
from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.heads_file import HeadFacts, save_heads, weights_digest
from tina_azr.model.loading import load_policy
from tina_azr.rollout.types import SamplingParams

SHAPE = HeadShape(kind="tap", taps=(0, 1), hidden_size=32, width=8)


@pytest.fixture
def folder(byte_model: Path, tmp_path: Path) -> Path:
    """Return a folder with the byte model and heads."""
    copied = tmp_path / "model"
    shutil.copytree(byte_model, copied)
    policy = load_policy(str(copied), device="cpu")
    facts = HeadFacts(policy_digest=weights_digest(policy.module), labels=10, step=1)
    save_heads(build_heads(SHAPE, seed=0), facts, copied)
    return copied


def test_heads_in_the_policy_folder_are_loaded(folder: Path) -> None:
    engine = open_engine(str(folder), device="cpu")
    assert engine.introspector is not None
    assert engine.introspector.taps == (0, 1)
    assert engine.notes == ()
    (generation,) = engine.generate([GenerationRequest(messages=(Message(role="user", content="a"),), max_tokens=500)])[0]
    assert generation.forecast is not None
    assert generation.calibration_digest is None


def test_heads_can_be_left_out_and_may_be_missing(folder: Path, byte_model: Path) -> None:
    assert open_engine(str(folder), device="cpu", heads=False).introspector is None
    assert open_engine(str(byte_model), device="cpu").introspector is None


def test_heads_of_other_weights_are_used_with_a_warning(folder: Path) -> None:
    policy = load_policy(str(folder), device="cpu")
    with torch.no_grad():
        policy.module.model.norm.weight += 0.01
    policy.module.save_pretrained(folder)
    with pytest.warns(IntrospectionWarning, match="fitted to other weights .*forecasts may be wrong"):
        engine = open_engine(str(folder), device="cpu")
    assert engine.introspector is not None


def test_untrained_heads_cause_a_warning(folder: Path) -> None:
    policy = load_policy(str(folder), device="cpu")
    facts = HeadFacts(policy_digest=weights_digest(policy.module), labels=0, step=0)
    save_heads(build_heads(SHAPE, seed=0), facts, folder)
    _, notes = find_introspector(policy)
    assert len(notes) == 1
    assert "have not been trained yet" in notes[0]


def test_untrained_adapters_cause_a_warning(folder: Path) -> None:
    with pytest.warns(IntrospectionWarning, match="nothing trains them yet"):
        engine = open_engine(str(folder), device="cpu", settings=EngineSettings(adapter_rank=4))
    assert engine.modulator is not None
    assert engine.modulator.activity() == 0.0


def test_calibration_of_other_heads_causes_a_warning(folder: Path) -> None:
    fitted = Calibration.identity().model_copy(update={"date": datetime.date(2026, 1, 1), "heads_digest": "feedfacefeedface"})
    fitted.save(folder / CALIBRATION)
    _, notes = find_introspector(load_policy(str(folder), device="cpu"))
    assert len(notes) == 1
    assert "heads" in notes[0]


def test_newer_checkpoint_than_the_calibration_causes_a_warning(folder: Path, tmp_path: Path) -> None:
    for step in (10, 20):
        shutil.copytree(folder, tmp_path / "checkpoints" / f"step-{step}" / "model")
    Calibration.identity().save(tmp_path / "checkpoints" / "step-10" / "model" / CALIBRATION)
    _, notes = find_introspector(load_policy(model_folder(str(tmp_path)), device="cpu"))
    assert len(notes) == 1
    assert "are not calibrated, but those of step-10 are" in notes[0]


def test_only_earlier_calibrations_cause_a_warning(folder: Path, tmp_path: Path) -> None:
    for step in (5, 10, 20):
        shutil.copytree(folder, tmp_path / "checkpoints" / f"step-{step}" / "model")
    for step in (5, 20):
        Calibration.identity().save(tmp_path / "checkpoints" / f"step-{step}" / "model" / CALIBRATION)
    before, between = (
        find_introspector(load_policy(str(tmp_path / "checkpoints" / f"step-{step}" / "model"), device="cpu"))[1]
        for step in (20, 10)
    )
    assert before == []
    assert len(between) == 1
    assert "but those of step-5 are" in between[0]


@pytest.mark.parametrize("shape", [replace(SHAPE, hidden_size=64), replace(SHAPE, taps=(0, 5))])
def test_heads_of_another_model_are_refused(folder: Path, shape: HeadShape) -> None:
    save_heads(build_heads(shape, seed=0), HeadFacts(policy_digest="", labels=0, step=0), folder)
    with pytest.raises(ModelError, match="they belong to another model"):
        open_engine(str(folder), device="cpu")


def test_damaged_heads_are_an_error(folder: Path) -> None:
    (folder / "heads.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"heads\.safetensors"):
        open_engine(str(folder), device="cpu")


def test_run_folder_opens_its_newest_checkpoint(tmp_path: Path) -> None:
    for step in (2, 10, 9):
        (tmp_path / "checkpoints" / f"step-{step}" / "model").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-11").mkdir()
    assert model_folder(str(tmp_path)) == str(tmp_path / "checkpoints" / "step-10" / "model")
    assert model_folder("tiny") == "tiny"


def test_run_opens_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first", "tiny", "here"):
        Path("runs", name, "checkpoints", "step-3", "model").mkdir(parents=True)
    Path("here").mkdir()
    named = {name: model_folder(name) for name in ("first", "runs/first", "tiny", "here", "owner/first", "absent")}
    first = str(Path("runs", "first", "checkpoints", "step-3", "model"))
    assert named == {
        "first": first,
        "runs/first": first,
        **{name: name for name in ("tiny", "here", "owner/first", "absent")},
    }


def test_run_without_a_checkpoint_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(ModelError, match="a run without a checkpoint yet"):
        model_folder(str(tmp_path))


# What is not set comes from the model.


def advise(folder: Path, **advice: object) -> None:
    (folder / "generation_config.json").write_text(json.dumps(advice))


def test_sampling_defaults_come_from_generation_config(folder: Path) -> None:
    advise(folder, do_sample=True, temperature=0.6, top_p=0.95, top_k=20)
    resolved = resolve(EngineSettings(), load_policy(str(folder), device="cpu"))
    assert (resolved.temperature, resolved.top_p, resolved.top_k, resolved.min_p) == (0.6, 0.95, 20, 0.0)


def test_request_overrides_settings_and_settings_override_generation_config(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advise(folder, temperature=0.6, top_p=0.95, top_k=20)
    engine = open_engine(str(folder), device="cpu", settings=EngineSettings(temperature=0.9, top_k=7))
    seen: list[SamplingParams] = []
    submit = engine._session.submit
    monkeypatch.setattr(engine._session, "submit", lambda request, **_: (seen.append(request.params), submit(request))[1])
    engine.submit(GenerationRequest(messages=(Message(role="user", content="a"),), top_k=3, min_p=0.2), lambda event: None)
    (params,) = seen
    assert (params.temperature, params.top_p, params.top_k, params.min_p) == (0.9, 0.95, 3, 0.2)


def test_greedy_generation_config_is_ignored(folder: Path) -> None:
    advise(folder, do_sample=False, temperature=0.1)
    assert resolve(EngineSettings(), load_policy(str(folder), device="cpu")).temperature == 1.0


def test_a_model_of_few_positions_gets_budgets_that_fit_it(folder: Path, make_positions: Callable[[Path, int], None]) -> None:
    make_positions(folder, 1_000)
    resolved = resolve(EngineSettings(), load_policy(str(folder), device="cpu"))
    assert resolved.max_tokens == 500
    assert resolved.budget.max_think_tokens == 200
    assert resolved.budget.answer_reserve == 125


def test_a_model_of_many_positions_keeps_the_defaults(folder: Path, make_positions: Callable[[Path, int], None]) -> None:
    make_positions(folder, 262_144)
    resolved = resolve(EngineSettings(), load_policy(str(folder), device="cpu"))
    assert (resolved.max_tokens, resolved.budget.max_think_tokens, resolved.budget.answer_reserve) == (8_192, 4_096, 256)


def test_a_damaged_generation_config_is_named(folder: Path) -> None:
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"generation_config\.json"):
        open_engine(str(folder), device="cpu")


@pytest.fixture
def make_positions() -> Callable[[Path, int], None]:
    """Change the number of positions in a folder's config.json."""

    def change(folder: Path, positions: int) -> None:
        document = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(document | {"max_position_embeddings": positions}))

    return change
