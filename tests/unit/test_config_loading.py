"""From file and flags to a `Config`."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tina_azr.config import Config, Flag, choose, describe_config, dump_config, load_config
from tina_azr.config.renamed import MERGED, REMOVED, RENAMED, downgrade, upgrade
from tina_azr.errors import ConfigError


def refusal(text: str, folder: Path, *overrides: str) -> str:
    """The message with which a file of this text is refused, the file's own path cut to its name."""
    file = folder / "a.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, overrides)
    return str(caught.value).replace(str(file), "a.yaml")


@pytest.mark.parametrize("text", ["", "# nothing\n", "run:\n  # steps: 3\n", "mode: self_play\n"])
def test_what_is_not_given_is_the_default(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    assert load_config(file) == Config() == load_config(None)


def test_a_flag_wins_over_the_file_and_a_later_flag_over_an_earlier(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("run:\n  steps: 3\n  threads: 2\n")
    config = load_config(file, ["run.steps=4", "run.steps=5", "seed=9"])
    assert (config.run.steps, config.run.threads, config.seed) == (5, 2, 9)


def test_a_flag_of_its_own_is_taken_as_it_is_and_named_in_errors() -> None:
    config = load_config(None, ["run.steps=4", Flag("--steps", "run.steps", 5), Flag("--host", "serve.host", "::1")])
    assert (config.run.steps, config.serve.host) == (5, "::1")
    with pytest.raises(ConfigError, match=r"^--steps: `run.steps` is 0, but must be"):
        load_config(None, [Flag("--steps", "run.steps", 0)])


def test_flags_are_read_as_yaml() -> None:
    config = load_config(None, ["tasks.modes=[induction]", "run.max_minutes=null", "heldout.greedy=false", "learning.lr=1e-6"])
    assert config.tasks.modes == ("induction",)
    assert config.run.max_minutes is None
    assert config.heldout.greedy is False
    assert config.learning.lr == 1e-6


@pytest.mark.parametrize("spelling", ["1e-6", "1E-6", "1.0e-6", "0.000001", "+1e-6"])
def test_every_spelling_of_a_small_number_is_a_number(spelling: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"learning:\n  lr: {spelling}\n")
    assert load_config(file).learning.lr == 1e-6


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_known_key(tmp_path: Path) -> None:
    message = refusal("seed: 1\nlearning:\n  lrr: 1\n", tmp_path)
    assert message.startswith(
        "a.yaml line 3: unknown key `learning.lrr` (did you mean `lr`?). Keys of section `learning`: advantage, "
    )


def test_an_unknown_section_is_named(tmp_path: Path) -> None:
    assert refusal("learnin: {lr: 1}\n", tmp_path).startswith("a.yaml line 1: unknown key `learnin` (did you mean `learning`?).")


def test_an_unknown_key_of_a_flag_is_named_with_the_flag(tmp_path: Path) -> None:
    assert refusal("", tmp_path, "run.stepz=3").startswith("--set run.stepz=3: unknown key `run.stepz` (did you mean `steps`?).")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: one", "a.yaml line 1: `seed` is 'one', but must be a valid integer."),
        ("seed: '3'", "a.yaml line 1: `seed` is '3', but must be a valid integer."),
        ("run: {steps: true}", "a.yaml line 1: `run.steps` is True, but must be a valid integer (unit: steps)."),
        ("run: {steps: 2.5}", "a.yaml line 1: `run.steps` is 2.5, but must be a valid integer (unit: steps)."),
        ("model: {name: 4}", "a.yaml line 1: `model.name` is 4, but must be a valid string."),
        ("heldout: {greedy: 1}", "a.yaml line 1: `heldout.greedy` is 1, but must be a valid boolean (unit: true or false)."),
        (
            "tasks: {modes: deduction}",
            "a.yaml line 1: `tasks.modes` is 'deduction', but must be a list, such as [deduction, abduction].",
        ),
        ("model: {dtype: float16}", "a.yaml line 1: `model.dtype` is 'float16', but must be 'float32' or 'bfloat16'."),
        (
            "run: 7",
            "a.yaml line 1: `run` is a section with keys of its own (steps, max_minutes, checkpoint_every, keep_checkpoints, ",
        ),
        (
            "\nselfplay:\n  group_size: 1",
            "a.yaml line 3: `selfplay.group_size` is 1, but must be greater than or equal to 2 (unit: rollouts).",
        ),
        ("learning: {lr: .nan}", "a.yaml line 1: `learning.lr` is nan, but must be "),
    ],
)
def test_a_wrong_value_is_named_with_what_it_must_be(text: str, expected: str, tmp_path: Path) -> None:
    assert refusal(text, tmp_path).startswith(expected)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    message = refusal("seed: x\nrun:\n  steps: 0\n", tmp_path, "model.nam=a")
    assert [line.split(": ")[0] for line in message.splitlines()] == ["a.yaml line 1", "--set model.nam=a", "a.yaml line 3"]


def test_supervised_training_is_refused_with_the_reason(tmp_path: Path) -> None:
    message = refusal("mode: supervised\n", tmp_path)
    assert message.startswith("a.yaml line 1: `mode: supervised`: there is no supervised training here: ")
    assert "`mode: self_play`" in message


def test_any_other_mode_is_refused(tmp_path: Path) -> None:
    assert refusal("mode: hybrid\n", tmp_path) == "a.yaml line 1: `mode: hybrid`: the only mode is `self_play`."


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run: {steps: 3", "a.yaml line 1: not YAML: "),
        ("- run\n", "a.yaml: a configuration is a mapping of sections (`run:`, `model:`, ...), this is a list."),
        ("run", "a.yaml: a configuration is a mapping of sections (`run:`, `model:`, ...), this is a single value."),
        ("run:\n  steps: 1\n  steps: 2\n", "a.yaml line 3: `run.steps` is given twice; keep one."),
        ("1: 2\n", "a.yaml line 1: keys are plain words, this one is not."),
        ("seed: 2024-13-45\n", "a.yaml line 1: `seed` has a value that cannot be read: "),
        ("a: !!python/object:os.system {}\n", "a.yaml line 1: unknown key `a`."),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(text: str, expected: str, tmp_path: Path) -> None:
    assert refusal(text, tmp_path).startswith(expected)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load_config(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="this is a folder"):
        load_config(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(tmp_path / "b.yaml")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("run.steps", "--set run.steps: write it as --set section.key=value"),
        ("=3", "--set =3: write it as --set section.key=value"),
        ("run..steps=3", "--set run..steps=3: write it as --set section.key=value"),
        ("seed.x=3", "--set seed.x=3: `seed` is a value, not a section."),
        ("run.steps=[", "--set run.steps=[: the value is not YAML: "),
    ],
)
def test_a_malformed_flag_is_refused(override: str, expected: str, tmp_path: Path) -> None:
    assert refusal("seed: 1\n", tmp_path, override).startswith(expected)


def test_settings_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    assert refusal("tasks: {induction_visible: 5}", tmp_path).startswith(
        "a.yaml line 1: `tasks`: induction_visible (5) must be below "
    )
    assert refusal("selfplay: {think_limit: 160}", tmp_path).startswith(
        "a.yaml line 1: `selfplay`: think_limit (160) must be below "
    )
    assert refusal("tasks: {modes: [induction, induction]}", tmp_path).startswith(
        "a.yaml line 1: `tasks`: modes names one mode twice"
    )


def test_a_loaded_configuration_does_not_change() -> None:
    with pytest.raises(ValidationError):
        Config().run.steps = 3  # type: ignore[misc]


@given(
    seed=st.integers(0, 2**32 - 1),
    lr=st.floats(0, 1, exclude_min=True),
    name=st.text(min_size=1, max_size=20),
    minutes=st.none() | st.floats(0.001, 1000),
    modes=st.lists(st.text("abcdef", min_size=1), min_size=1, unique=True),
)
@pytest.mark.slow
def test_what_is_written_beside_a_run_reads_back_equal(
    seed: int, lr: float, name: str, minutes: float | None, modes: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = Config.model_validate(
        {"seed": seed, "learning": {"lr": lr}, "model": {"name": name}, "run": {"max_minutes": minutes}, "tasks": {"modes": modes}}
    )
    file = tmp_path_factory.mktemp("config") / "a.yaml"
    for write in (dump_config, describe_config):
        file.write_text(write(config), encoding="utf-8")
        assert load_config(file) == config


def test_choose_names_what_is_known() -> None:
    assert choose({"trr_pp": 1}, "trr_pp", "learning.advantage") == 1
    with pytest.raises(ConfigError) as caught:
        choose({"trr_pp": 1, "group": 2}, "trrpp", "learning.advantage")
    assert str(caught.value) == "learning.advantage: there is no `trrpp` (did you mean `trr_pp`?). Known: trr_pp, group."


def test_a_bare_off_is_the_word_that_it_looks_like(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("introspection:\n  reward: off\n")
    assert load_config(path).introspection.reward == "off"
    assert load_config(overrides=["introspection.reward=off"]).introspection.reward == "off"
    with pytest.raises(ConfigError, match=r"`introspection\.reward` is True, but must be a valid string"):
        load_config(overrides=["introspection.reward=on"])


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("selfplay.think_wall=9", "`selfplay.think_wall` is now `selfplay.think_limit`"),
        ("introspection.stretch_share=0", "is now `introspection.chained_share`"),
        ("introspection.window_steps=4", "was removed: its value is always 16"),
        ("introspection.train_heads=false", "was merged into `introspection.heads`: an empty list trains no heads"),
        ("heldout.path=a.jsonl", "was merged into `heldout.tasks`"),
        (
            "selfplay.length_cap=false",
            "is now the pass rate from which a length counts as solved (true was 0.3), or null for no cap",
        ),
    ],
)
def test_an_old_name_is_refused_by_naming_the_new_one(override: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_config(overrides=[override])
    assert said in str(refused.value)
    assert f"--set {override}" in str(refused.value)


def test_an_old_name_in_a_file_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refusal("selfplay:\n  think_wall: 9\n", tmp_path).startswith("a.yaml line 2: `selfplay.think_wall` is now ")


def test_every_new_name_of_a_renamed_setting_exists() -> None:
    known = {
        f"{section}.{name}" for section, values in Config().model_dump().items() if isinstance(values, dict) for name in values
    }
    assert set(RENAMED.values()) <= known
    assert not known & {*RENAMED, *REMOVED, *MERGED}


def test_a_file_goes_over_a_preset_and_a_flag_over_both(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("introspection: {coeff: 0.5}\n")
    config = load_config(file, ["introspection.budget_share=0.25"], preset="tiny-introspective")
    section = config.introspection
    assert (section.reward, section.coeff, section.budget_share) == ("calibration_surprise", 0.5, 0.25)


def test_an_unknown_preset_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"there is no preset `tiny`\. Known: qwen3-4b-thinking, tiny-introspective"):
        load_config(preset="tiny")


@pytest.mark.parametrize("overrides", [(), ("selfplay.length_cap=null", "introspection.heads=[]", "heldout.tasks=choose")])
def test_a_configuration_survives_the_form_of_the_previous_release(overrides: tuple[str, ...]) -> None:
    values = load_config(overrides=overrides).model_dump(mode="json")
    assert upgrade(downgrade(values)) == values
