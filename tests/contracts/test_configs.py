"""Shipped configurations: each is valid and opens with the command that runs it."""

from pathlib import Path

from click.testing import CliRunner

from tina_azr.cli.main import cli
from tina_azr.config import Config, describe_config, load_config, preset_names, read_preset

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs").glob("*"))


def test_the_configurations_are_there() -> None:
    assert [file.name for file in FILES] == [
        "qwen3_4b_thinking.yaml",
        "tiny_introspective.yaml",
        "tiny_random_reward_control.yaml",
        "tiny_self_play.yaml",
    ]


def test_shipped_configurations_are_valid() -> None:
    offenders = []
    for file in FILES:
        result = CliRunner().invoke(cli, ["config", "validate", str(file)])
        if (result.exit_code, result.output.partition(" (Qwen/")[0].strip()) != (0, f"{file}: good"):
            offenders.append(f"{file.name}: exit status {result.exit_code}\n{result.output}")
    assert not offenders, "\n".join(offenders)


def test_shipped_configurations_open_with_the_command_that_runs_them() -> None:
    headers = {file.stem.replace("_", "-"): file.read_text().split("\n\n")[0].splitlines() for file in FILES}
    offenders = [name for name, header in headers.items() if f"#     tina-azr train --preset {name}" not in header]
    assert not offenders, "\n".join(offenders)


def test_the_explained_configuration_is_the_defaults() -> None:
    text = (ROOT / "configs" / "tiny_self_play.yaml").read_text()
    assert text.split("\n\n", 1)[1] == describe_config(Config())


def test_the_control_differs_from_the_defaults_in_its_rewards_alone() -> None:
    control = load_config(ROOT / "configs" / "tiny_random_reward_control.yaml").model_dump()
    defaults = Config().model_dump()
    assert {
        (section, key)
        for section, values in control.items()
        if values != defaults[section]
        for key in values
        if values[key] != defaults[section][key]
    } == {("selfplay", "random_rewards")}


def test_configs_are_the_presets_of_the_package() -> None:
    assert preset_names() == [file.stem.replace("_", "-") for file in FILES]
    assert [read_preset(name) for name in preset_names()] == [file.read_text(encoding="utf-8") for file in FILES]
