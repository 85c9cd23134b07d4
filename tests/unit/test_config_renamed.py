"""Translation of the resolved configuration of an earlier release."""

from pathlib import Path
from typing import Any

import pytest

from tina_azr.config import Config, load_config
from tina_azr.config.renamed import MERGED, REMOVED, RENAMED, downgrade, is_old, upgrade
from tina_azr.errors import ConfigError
from tina_azr.runs.folder import RunFolder

OLD = """\
learning:
  beta1: 0.9
selfplay:
  think_wall: 120
  length_cap: true
  length_cap_rate: 0.4
introspection:
  stretch_share: 0.25
  sample_by_c0: true
  all_layers: true
  window_steps: 16
heldout:
  which: choose
  path: null
serve:
  allow_visible_thoughts: true
"""


def translated(text: str, folder: Path, *overrides: str) -> Config:
    file = folder / "config.yaml"
    file.write_text(text)
    return load_config(file, overrides, translate=True)


def test_old_settings_are_translated(tmp_path: Path) -> None:
    config = translated(OLD, tmp_path)
    assert (config.selfplay.think_limit, config.selfplay.length_cap) == (120, 0.4)
    assert (config.introspection.chained_share, config.introspection.sample_by_confidence) == (0.25, True)
    assert (config.introspection.taps, config.heldout.tasks) == ("all", "choose")
    assert config.serve.allow_visible_reasoning


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("heldout: {which: choose}", "heldout.tasks", "choose"),
        ("heldout: {path: tasks.jsonl}", "heldout.tasks", "tasks.jsonl"),
        ("heldout: {which: choose, path: tasks.jsonl}", "heldout.tasks", "tasks.jsonl"),
        ("heldout: {path: null}", "heldout.tasks", "report"),
        ("selfplay: {length_cap_rate: 0.5}", "selfplay.length_cap", 0.5),
        ("selfplay: {length_cap: false, length_cap_rate: 0.5}", "selfplay.length_cap", None),
        ("introspection: {train_heads: false, heads: [linear]}", "introspection.heads", ()),
        ("introspection: {train_heads: true, heads: [linear]}", "introspection.heads", ("linear",)),
        ("introspection: {all_layers: false}", "introspection.taps", None),
        ("selfplay: {think_wall: 9}\nheldout:", "selfplay.think_limit", 9),
    ],
)
def test_a_file_with_only_some_old_settings_is_translated(text: str, key: str, value: object, tmp_path: Path) -> None:
    config: Any = translated(text, tmp_path)
    section, name = key.split(".")
    assert getattr(getattr(config, section), name) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "selfplay: {think_wall: 9, think_limit: 8}",
            "`selfplay.think_wall` is the old name of `selfplay.think_limit`, and both are",
        ),
        ("heldout: {which: report, tasks: choose}", "are now `heldout.tasks`, and both are given"),
        ("selfplay: {length_cap: 0.3, length_cap_rate: 0.3}", "is now part of `selfplay.length_cap`, and both are given"),
        (
            "introspection: {window_steps: 3}",
            "`introspection.window_steps` is 3, but this release has it fixed at 16. Use the release",
        ),
        ("serve: {body_bytes: [1]}", "`serve.body_bytes` is [1], but this release has it fixed at 1048576"),
        ("introspection: 7\nselfplay: {think_wall: 9}", "`introspection` is a section with keys of its own"),
        ("selfplay: {think_wall: x}", "`selfplay.think_limit` is 'x', but must be a valid integer"),
    ],
)
def test_a_file_that_cannot_be_translated_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        translated(text, tmp_path)
    assert message in str(refused.value)
    assert "config.yaml" in str(refused.value)


def test_an_override_of_an_old_run_must_use_the_new_name(tmp_path: Path) -> None:
    assert translated(OLD, tmp_path, "selfplay.think_limit=100").selfplay.think_limit == 100
    with pytest.raises(ConfigError, match=r"--set selfplay\.think_wall=9: `selfplay\.think_wall` is now `selfplay\.think_limit`"):
        translated(OLD, tmp_path, "selfplay.think_wall=9")


def test_constants_are_shown_as_they_are_written_in_yaml() -> None:
    for override, shown in (("tasks.mask_constants=true", "true"), ("introspection.gate_layer=null", "null")):
        with pytest.raises(ConfigError, match=f"its value is always {shown}. Leave it out"):
            load_config(overrides=[override])


def test_a_configuration_of_this_release_has_no_old_setting() -> None:
    assert not is_old(Config().model_dump(mode="json"))


def test_the_form_of_the_previous_release_has_every_old_setting() -> None:
    old = downgrade(Config().model_dump(mode="json"))
    present = {f"{section}.{name}" for section, content in old.items() if isinstance(content, dict) for name in content}
    assert {*RENAMED, *REMOVED, *MERGED} <= present
    assert not {*RENAMED.values(), "heldout.tasks"} & present


def test_a_value_that_the_new_form_cannot_hold_is_taken_from_the_old_file() -> None:
    old = downgrade(Config().model_dump(mode="json"))
    old["selfplay"] |= {"length_cap": False, "length_cap_rate": 0.7}
    old["introspection"] |= {"train_heads": False, "heads": ["linear"]}
    old["heldout"] |= {"which": "choose", "path": "tasks.jsonl"}
    assert downgrade(upgrade(old), old) == old
    assert downgrade(upgrade(old)) != old


def test_an_old_digest_is_accepted_before_and_after_the_file_is_replaced(tmp_path: Path) -> None:
    from tina_azr.config.yaml import write_yaml
    from tina_azr.runs.folder import _digest

    old = downgrade(load_config(overrides=["selfplay.length_cap=null", "introspection.heads=[]"]).model_dump(mode="json"))
    old["selfplay"]["length_cap_rate"] = 0.7
    old["introspection"]["heads"] = ["linear"]
    run = RunFolder(tmp_path)
    run.config_file.write_text(write_yaml(old))
    digest = _digest(old)
    for _ in range(2):
        config = run.read_config()
        assert run.is_digest_of(digest, config)
        assert not run.is_digest_of(digest, run.read_config(["learning.lr=0.001"]))
        run.write_config(config)
    assert load_config(run.config_file) == config
    assert run.previous_config_file.read_text() == write_yaml(old)


def test_a_run_of_this_release_keeps_no_other_configuration(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", load_config())
    run.write_config(load_config(overrides=["run.steps=9"]))
    assert run.read_config().run.steps == 9
    assert not run.previous_config_file.exists()
