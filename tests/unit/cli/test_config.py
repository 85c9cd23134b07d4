"""`tina-azr config`."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from tina_azr.cli.main import cli
from tina_azr.config import Config, load_config


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["config", *arguments])


def test_show_prints_what_would_be_run(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 4\n")
    result = call("show", str(tmp_path / "a.yaml"), "--set", "run.steps=7")
    (tmp_path / "shown.yaml").write_text(result.stdout)
    assert load_config(tmp_path / "shown.yaml") == load_config(tmp_path / "a.yaml", ["run.steps=7"])


def test_show_as_json_is_the_same_configuration() -> None:
    assert Config.model_validate_json(call("show", "--json", "--set", "seed=4").stdout) == load_config(None, ["seed=4"])


def test_shown_with_comments_every_value_is_explained_and_reads_back(tmp_path: Path) -> None:
    text = call("show", "--comments").stdout
    (tmp_path / "a.yaml").write_text(text)
    assert load_config(tmp_path / "a.yaml") == Config()
    assert "  # Steps of self-play and learning. [steps, 1 to 10000000]\n  steps: 60\n" in text
    assert "[float32 or bfloat16]\n  dtype: float32\n" in text


def test_json_with_comments_is_refused() -> None:
    assert call("show", "--json", "--comments").exit_code == 2


def test_show_refuses_what_cannot_be_run() -> None:
    result = call("show", "--set", "run.stepz=7")
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: --set run.stepz=7: unknown key `run.stepz` (did you mean `steps`?).")


def test_validate_checks_every_file_and_fails_if_one_is_bad(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("seed: 1\n")
    bad.write_text("mode: supervised\nseed: x\n")
    result = call("validate", str(bad), str(good))
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{bad} line 1", f"{bad} line 2", str(good)]
    assert lines[-1].endswith(": good")


def test_validate_as_json_lists_problems_by_file(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("")
    bad.write_text("runs: {}\n")
    problems = json.loads(call("validate", "--json", str(good), str(bad)).stdout)
    assert problems[str(good)] == []
    assert [problem.split(" (")[0] for problem in problems[str(bad)]] == [f"{bad} line 1: unknown key `runs`"]


def test_validate_looks_up_names(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    for text, expected in (
        ("tasks: {modes: [deduction, abductoin]}", "tasks.modes: there is no `abductoin` (did you mean `abduction`?)"),
        ("rewards: {learnability: parabolic}", "rewards.learnability: there is no `parabolic` (did you mean `parabola`?)"),
        ("rewards: {solver_terms: [corectness]}", "rewards.solver_terms: there is no `corectness` (did you mean `correctness`?)"),
        ("rewards: {proposer_terms: [novelty]}", "rewards.proposer_terms: there is no `novelty`"),
        ("learning: {advantage: grpo}", "learning.advantage: there is no `grpo`"),
    ):
        file.write_text(text)
        result = call("validate", str(file))
        assert result.exit_code == 2
        assert result.stdout.startswith(f"{file}: {expected}")


def test_schema_is_a_json_schema() -> None:
    schema = json.loads(call("schema").stdout)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert set(schema["properties"]) == set(Config.model_fields)


def test_validate_looks_at_the_model(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("introspection: {taps: [1, 3], calibration: none.json, tags: [think]}\nselfplay: {max_tokens: 900}\n")
    result = call("validate", str(file))
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert [line.removeprefix(f"{file}: ").split(":")[0] for line in lines] == [
        "introspection.tags",
        "introspection.taps",
        "tasks.max_prompt_tokens and selfplay.max_tokens",
        "none.json",
    ]
    assert all(line.endswith(".") for line in lines)


def test_validate_names_a_model_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("model: {name: ./nothing}\n")
    result = call("validate", str(file))
    assert result.exit_code == 2
    assert result.stdout.startswith(f"{file}: model.name: no model folder at ./nothing")


def test_validate_downloads_nothing_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("model: {name: nobody/no-such-model}\n")
    result = call("validate", str(file))
    assert result.exit_code == 0
    assert result.stdout == f"{file}: good (nobody/no-such-model is not on this machine: whether it fits was not checked)\n"
