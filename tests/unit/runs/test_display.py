"""What a person sees: a panel that fits 80 columns, or lines in a log."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from tina_azr.formatting import duration, points, rate, sparkline
from tina_azr.runs.display import LiveDisplay, PlainDisplay, open_display
from tina_azr.runs.metrics import HeldoutMetrics, StepMetrics
from tina_azr.runs.progress import Goal, Progress

MakeStep = Callable[..., StepMetrics]
MakeHeldout = Callable[..., HeldoutMetrics]
GOAL = Goal(steps=60, seconds=900.0)


class Clock:
    """Time that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def _drawn(display: LiveDisplay, width: int = 80) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(display.render())
    return out.getvalue()


def test_a_log_gets_one_line_a_step(step_metrics: MakeStep) -> None:
    out = io.StringIO()
    with PlainDisplay(goal=GOAL, file=out) as display:
        display.on_phase(1, "solve", 3, 10)
        for step in range(1, 6):
            display.on_step(step_metrics(step))
    first, *_, last = out.getvalue().splitlines()
    assert first == (
        "step  1/60   0:06  valid 95 %  new 90 %  solved 50 %  reward P +0.25 S -0.12  think 21  1.2 k programs/s  7.9 k tokens/s"
    )
    assert last.startswith("step  5/60   0:32  valid 95 %")
    assert last.endswith("  5:57 left")


def test_a_log_says_that_an_evaluation_has_begun(heldout_metrics: MakeHeldout) -> None:
    out = io.StringIO()
    display = PlainDisplay(goal=GOAL, file=out)
    for done, total in ((0, 1152), (0, 2304), (1152, 2304)):
        display.on_phase(0, "heldout", done, total)
    assert out.getvalue() == "evaluating at step 0, on 1152 held-out tasks\n"
    display.on_heldout(heldout_metrics(0))
    display.on_phase(10, "heldout", 0, 1152)
    assert [line.partition(",")[0].partition(":")[0] for line in out.getvalue().splitlines()] == [
        *("evaluating at step 0", "held-out at step 0", "evaluating at step 10"),
    ]


def test_a_log_says_accuracy_with_its_error(heldout_metrics: MakeHeldout) -> None:
    out = io.StringIO()
    PlainDisplay(goal=GOAL, file=out).on_heldout(heldout_metrics(10, 0.7))
    assert out.getvalue() == (
        "held-out at step 10: T=1 70.0 ±1.9 %  greedy 75.0 ±1.9 %  "
        "(deduction 70.0, abduction 70.0, induction 70.0; n=576, think 20)\n"
    )


def test_a_log_takes_what_a_terminal_cannot(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        assert isinstance(open_display(Console(file=file), title="t", goal=GOAL), PlainDisplay)
    assert isinstance(open_display(Console(force_terminal=True), title="t", goal=GOAL), LiveDisplay)


def test_the_panel_fits_into_80_columns(step_metrics: MakeStep, heldout_metrics: MakeHeldout) -> None:
    display = LiveDisplay(Console(width=80), title="tina-azr train", goal=GOAL)
    for step in range(60):
        display.on_step(step_metrics(step + 1, rejects={"duplicate": 100, "nondeterministic": 100, "not_literal": 100}))
        display.on_heldout(heldout_metrics(step, 0.3 + step / 120))
    display.on_phase(60, "heldout", 1152, 2304)
    display.on_note("stopping after this step " * 5)
    lines = _drawn(display).splitlines()
    assert max(map(len, lines)) == 80
    assert len(lines) <= 24


@pytest.mark.parametrize("width", [40, 200])
def test_the_panel_survives_other_widths(step_metrics: MakeStep, heldout_metrics: MakeHeldout, width: int) -> None:
    display = LiveDisplay(Console(width=width), title="tina-azr train", goal=GOAL)
    display.on_step(step_metrics(1))
    display.on_heldout(heldout_metrics(0))
    assert "temperature" in _drawn(display, width) or width < 80


def test_the_panel_compares_with_the_start(heldout_metrics: MakeHeldout) -> None:
    display = LiveDisplay(Console(width=80), title="tina-azr train", goal=GOAL)
    display.on_heldout(heldout_metrics(0, 0.45))
    display.on_heldout(heldout_metrics(10, 0.75))
    (line,) = (line for line in _drawn(display).splitlines() if "temperature 1" in line)
    assert line.split()[1:] == ["temperature", "1", "45.0", "±2.1", "75.0", "±1.8", "+30.0", "▁█", "│"]


def test_the_panel_draws_before_anything_has_happened() -> None:
    assert "step 1/60" in _drawn(LiveDisplay(Console(width=80), title="tina-azr train", goal=GOAL))


def test_time_left_is_the_nearer_of_steps_and_minutes(step_metrics: MakeStep) -> None:
    clock = Clock()
    by_steps = Progress(Goal(steps=10, seconds=900.0), clock)
    by_minutes = Progress(Goal(steps=1000, seconds=60.0), clock)
    for progress in (by_steps, by_minutes):
        for step in range(1, 6):
            progress.on_step(step_metrics(step))
    assert by_steps.seconds_left == pytest.approx(5 * 6.5)
    assert by_minutes.seconds_left == pytest.approx(60 - 5 * 6.5)


def test_time_left_runs_down_between_steps(step_metrics: MakeStep) -> None:
    clock = Clock()
    progress = Progress(Goal(steps=10, seconds=None), clock)
    for step in range(1, 6):
        progress.on_step(step_metrics(step))
    clock.now += 4.0
    assert progress.seconds == pytest.approx(5 * 6.5 + 4.0)
    assert progress.seconds_left == pytest.approx(5 * 6.5 - 4.0)


@pytest.mark.parametrize("seconds", [None, 900.0])
def test_nothing_is_said_of_time_left_before_a_few_steps(
    step_metrics: MakeStep, heldout_metrics: MakeHeldout, seconds: float | None
) -> None:
    # The limit alone says nothing: most runs end by their steps, long before it.
    progress = Progress(Goal(steps=10, seconds=seconds), Clock())
    progress.on_heldout(heldout_metrics(0))
    known = []
    for step in range(1, 6):
        known.append(progress.seconds_left is not None)
        progress.on_step(step_metrics(step))
    assert known == [False, False, False, False, True]


def test_a_flat_line_does_not_look_like_a_trend() -> None:
    assert sparkline([0.500, 0.503, 0.498], width=20, least_span=0.1) == "▁▁▁"
    assert sparkline([0.4, 0.5, 0.8], width=20, least_span=0.1) == "▁▃█"


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0:00"), (59.6, "1:00"), (92, "1:32"), (7510, "2:05:10")])
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(("value", "words"), [(7.2, "7"), (812.4, "812"), (7912.0, "7.9 k"), (123456.0, "123 k")])
def test_rates(value: float, words: str) -> None:
    assert rate(value) == words


def test_points_keep_their_sign() -> None:
    assert (points(0.241), points(-0.05), points(None)) == ("+24.1", "-5.0", "-")
