"""Tests of `tina-azr observe` on the small random model with heads: panel, JSON, figure, file, schema."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator
from rich.console import Console

from tina_azr.cli import console as console_module
from tina_azr.cli.main import cli
from tina_azr.cli.observe import command
from tina_azr.cli.observe import figure as observe_figure
from tina_azr.cli.observe.figure import draw_observation
from tina_azr.cli.observe.panel import bar, number, observation_panel
from tina_azr.config import Config
from tina_azr.engine.engine import IntrospectiveEngine
from tina_azr.engine.observation import Observation
from tina_azr.engine.settings import EngineSettings
from tina_azr.engine.types import ThinkStop
from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.introspector import Introspector
from tina_azr.introspection.types import Plan

if TYPE_CHECKING:
    from tina_azr.model.loading import Policy

PNG = b"\x89PNG\r\n\x1a\n"
BRIEF = ("--max-tokens", "250", "--budget", "8")


@pytest.fixture
def opened(byte_policy: "Policy", monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the names of opened models; each is the small random one with linked heads."""
    names: list[str] = []

    def open_it(
        config: Config, notify: Callable[[str], None], *, tags: tuple[str, ...] = (), shown: bool = True
    ) -> IntrospectiveEngine:
        names.append(config.model.name)
        heads = build_heads(HeadShape(kind="linked", taps=(0, 1), hidden_size=32, width=8), seed=0)
        return IntrospectiveEngine(
            byte_policy, introspector=Introspector(heads), settings=EngineSettings(allow_visible=True, tags=tags)
        )

    monkeypatch.setattr(command, "open_chat_engine", open_it)
    return names


def call(*arguments: str | Path, text: str | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "110"}).invoke(cli, ["observe", *map(str, arguments)], input=text)


def observed_record(*arguments: str | Path) -> Observation:
    return Observation.model_validate_json(call("8 + 9?", "--model", "m", *BRIEF, "--json", *arguments).stdout)


def shown(record: Observation, prompt: str = "8 + 9?") -> str:
    console = Console(width=100, record=True, force_terminal=True, highlight=False, markup=False)
    with console.capture() as capture:
        console.print(observation_panel(record, prompt))
    return capture.get()


@pytest.mark.usefixtures("opened")
def test_the_panel_shows_forecast_and_outcome_side_by_side() -> None:
    result = call("8 + 9?", "--model", "m", *BRIEF)
    assert result.exit_code == 0
    for words in (
        "8 + 9?",
        "outline",
        "verify",
        "decompose",
        "stop",
        "50 % within",
        "budget 8 requested",
        "before",
        "after",
        "layer 0",
    ):
        assert words in result.stdout
    assert result.stderr == ""


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("further", [(), ("--json",)])
def test_terminal_shows_progress_of_the_answer(further: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    @contextmanager
    def waiting(words: str, *, shown: bool) -> Iterator[Callable[[str], None]]:
        told.append(words)
        yield told.append if shown else lambda words: None

    monkeypatch.setattr(console_module, "status_line", waiting)
    assert call("8 + 9?", "--model", "m", *BRIEF, *further).exit_code == 0
    if further:
        assert told == ["reading the prompt"]
    else:
        assert "thinking: 3 tokens" in told
        assert told[0] == "reading the prompt"
        assert told[-2].startswith("answering: ")


@pytest.mark.usefixtures("opened")
def test_json_is_a_record_that_fits_the_printed_schema() -> None:
    schema = json.loads(call("--schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    record = json.loads(call("8 + 9?", "--model", "m", *BRIEF, "--json").stdout)
    assert [error.message for error in Draft202012Validator(schema).iter_errors(record)] == []


def test_the_schema_needs_no_model(opened: list[str]) -> None:
    assert call("--schema").exit_code == 0
    assert opened == []


@pytest.mark.usefixtures("opened")
def test_records_are_appended_one_per_line(tmp_path: Path) -> None:
    for _ in range(2):
        call("8 + 9?", "--model", "m", *BRIEF, "--jsonl-out", tmp_path / "records.jsonl")
    records = [Observation.model_validate_json(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert len({record.request_id for record in records}) == 2
    assert records[0].text == records[1].text  # the seed is 0 unless another is given


@pytest.mark.usefixtures("opened")
def test_figure_is_written_as_png(tmp_path: Path) -> None:
    result = call("8 + 9?", "--model", "m", *BRIEF, "--json", "--png", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    assert json.loads(result.stdout)["model"]


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("option", ["--png", "--jsonl-out"])
def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, option: str) -> None:
    result = call("8 + 9?", "--model", "m", *BRIEF, option, tmp_path / "none" / "a")
    assert result.exit_code == 2
    assert f"{tmp_path / 'none' / 'a'} cannot be written" in result.stderr


def test_without_a_model_the_embedded_one_gets_a_task_that_it_can_read(opened: list[str]) -> None:
    result = call(*BRIEF, "--json")
    assert opened == ["tiny"]
    assert json.loads(result.stdout)["io"]["prompt_preview"].startswith("Predict the output.")
    assert "--model Qwen/" in result.stderr


def test_a_model_trained_from_the_embedded_one_gets_that_task_too(opened: list[str], byte_model: Path, tmp_path: Path) -> None:
    model = tmp_path / "run" / "checkpoints" / "step-2" / "model"
    model.mkdir(parents=True)
    (model / "tina.json").write_text((byte_model / "tina.json").read_text())
    record = json.loads(call("--model", tmp_path / "run", *BRIEF, "--json").stdout)
    assert opened == [str(tmp_path / "run")]
    assert record["io"]["prompt_preview"].startswith("Predict the output.")


@pytest.mark.parametrize("model", ["folder", "owner/model"])
def test_any_other_model_needs_a_prompt(opened: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    result = call("--model", model)
    assert (result.exit_code, opened) == (2, [])
    assert "there is no prompt" in result.stderr


@pytest.mark.parametrize(("arguments", "text"), [(("-",), " \n"), (("",), None)])
def test_a_prompt_is_needed(opened: list[str], arguments: tuple[str, ...], text: str | None) -> None:
    result = call(*arguments, text=text)
    assert (result.exit_code, opened) == (2, [])
    assert "there is no prompt" in result.stderr


@pytest.mark.usefixtures("opened")
def test_a_dash_is_standard_input() -> None:
    record = json.loads(call("-", "--model", "m", *BRIEF, "--json", text="what is\n8 + 9?\n").stdout)
    assert record["io"]["prompt_preview"] == "what is 8 + 9?"


@pytest.mark.usefixtures("opened")
def test_reasoning_is_kept_if_visible() -> None:
    assert observed_record().text.full is None
    shown_record = observed_record("--visible")
    assert shown_record.text.full is not None
    assert "</think>" in shown_record.text.full
    assert "reasoning" in shown(shown_record)


@pytest.mark.usefixtures("opened")
def test_text_of_a_model_is_neither_markup_nor_a_terminal_sequence() -> None:
    record = observed_record()
    said = "[bold]x[/nonsense] \x1b]0;title\x07\x1b[2J"
    changed = record.model_copy(update={"text": record.text.model_copy(update={"answer": said, "full": f"{said}</think>{said}"})})
    panel = shown(changed, prompt=said)
    assert panel.count("[bold]x[/nonsense] \\x1b]0;title\\x07\\x1b[2J") == 3
    assert "\x1b]" not in panel
    assert "\x07" not in panel


@pytest.mark.usefixtures("opened")
def test_additional_tags_are_counted() -> None:
    assert observed_record().sections.tag_tokens == {}
    record = observed_record("--tag", "plan")
    assert record.sections.tag_tokens == {"plan": 0}
    sections = record.sections.model_copy(update={"tag_tokens": {"plan": 7}})
    assert "7 in <plan>" in shown(record.model_copy(update={"sections": sections}))


FORMS: dict[str, Any] = {
    "as it came": {},
    "without heads": {"heads": None, "forecast": None, "cE": None},
    "never closed": {"cE": None, "think_stop": ThinkStop.UNFINISHED, "text": {"full": None, "answer": ""}},
    "not trusted": {"abstain": True, "leak": True},
    "another script": {"text": {"full": None, "answer": "答えは $17 \\alpha {"}},
}


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_record_can_be_shown_and_drawn(tmp_path: Path, form: str) -> None:
    record = Observation.model_validate({**observed_record().model_dump(), **FORMS[form]})
    assert ("nothing was forecast" in shown(record)) == (form == "without heads")
    draw_observation(record, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


@pytest.mark.usefixtures("opened")
def test_many_layers_are_a_small_chart(tmp_path: Path) -> None:
    record = observed_record()
    assert record.forecast is not None
    many = record.forecast.model_copy(
        update={"layers": list(range(36)), "alpha": [1 / 40] * 35 + [5 / 40], "plan_by_layer": [Plan.VERIFY] * 36}
    )
    wide = record.model_copy(update={"forecast": many})
    panel = shown(wide)
    assert "0 to 35" in panel
    assert "layer 35, 12 %" in panel
    draw_observation(wide, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("letters", ["WIDE MAMMOTHS ", "W", "narrow words, and more of them. "])
def test_text_stays_inside_the_figure(letters: str) -> None:
    long = letters * (2_000 // len(letters))
    written = {
        "model": long,
        "io": {**observed_record().io.model_dump(), "prompt_preview": long},
        "text": {"full": None, "answer": long},
    }
    figure = observe_figure._figure(Observation.model_validate({**observed_record().model_dump(), **written}))
    ends = [label.get_window_extent().x1 / figure.bbox.x1 for label in figure.texts]
    assert max(ends) < 0.98
    assert min(ends[:3]) > 0.8
    assert [label.get_text()[-1] for label in figure.texts[:3]] == ["…", "…", "…"]
    assert figure.texts[2].get_text().count("\n") == 2


@pytest.mark.parametrize(
    ("share", "expected"), [(0, "        "), (1, "████████"), (0.5, "████    "), (9 / 64, "█▏      "), (2, "████████")]
)
def test_a_bar_has_eighths(share: float, expected: str) -> None:
    assert bar(share, 8) == expected


@pytest.mark.parametrize(("value", "text"), [(2.7123, "2.71"), (212.4, "212"), (48123.0, "48,123"), (0.0, "0")])
def test_numbers_have_three_digits(value: float, text: str) -> None:
    assert number(value) == text
