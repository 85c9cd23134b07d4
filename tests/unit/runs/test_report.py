"""The closing word: the table fits a terminal, the files say the same."""

import io
import json
from collections.abc import Callable

from rich.console import Console

from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import HeldoutMetrics, StepMetrics
from tina_azr.runs.metrics_file import History
from tina_azr.runs.plots import draw_plots
from tina_azr.runs.report import facts, make_report, print_report, write_report

MakeStep = Callable[..., StepMetrics]
MakeHeldout = Callable[..., HeldoutMetrics]


def _history(step_metrics: MakeStep, heldout_metrics: MakeHeldout) -> History:
    return History(
        steps=tuple(step_metrics(step, valid_rate=0.9 + step / 100) for step in (1, 2, 3)),
        heldouts=(heldout_metrics(0, 0.45), heldout_metrics(3, 0.75)),
    )


def test_the_table_fits_into_80_columns(run: RunFolder, step_metrics: MakeStep, heldout_metrics: MakeHeldout) -> None:
    report = make_report(run, _history(step_metrics, heldout_metrics), run.read_status())
    out = io.StringIO()
    print_report(report, Console(file=out, width=80))
    lines = out.getvalue().splitlines()
    (headline,) = (line for line in lines if line.startswith("steps 1-3"))
    assert headline.split() == [
        "steps",
        "1-3",
        "45.0",
        "±2.1",
        "75.0",
        "±1.8",
        "+30.0",
        "±2.8",
        "50.0",
        "80.0",
        "+30.0",
        "±2.8",
        "20",
        ">",
        "20",
    ]
    assert max(map(len, lines)) <= 80


def test_totals_add_up_the_steps(run: RunFolder, step_metrics: MakeStep, heldout_metrics: MakeHeldout) -> None:
    totals = make_report(run, _history(step_metrics, heldout_metrics), run.read_status()).totals
    assert totals is not None
    assert (totals.steps, totals.samples, totals.programs) == (3, 3 * 338, 3 * 512)
    assert round(totals.valid_rate, 6) == 0.92
    assert totals.valid_rate_least == 0.91


def test_the_time_is_that_of_the_run_with_its_last_evaluation(
    run: RunFolder, step_metrics: MakeStep, heldout_metrics: MakeHeldout
) -> None:
    status = run.read_status().changed(seconds=71.0)
    for history, said in (
        (_history(step_metrics, heldout_metrics), "3 steps in 1:11;"),
        (History(steps=(step_metrics(1),)), "1 step in 1:11;"),
    ):
        totals = make_report(run, history, status).totals
        assert totals is not None
        assert facts(totals)[0].startswith(said)


def test_a_run_without_a_step_has_a_report_without_rows(run: RunFolder) -> None:
    report = make_report(run, History(), run.read_status())
    assert report.rows == ()
    assert report.totals is None


def test_files_hold_the_rows_and_name_the_plots(run: RunFolder, step_metrics: MakeStep, heldout_metrics: MakeHeldout) -> None:
    history = _history(step_metrics, heldout_metrics)
    report = make_report(run, history, run.read_status())
    plots = draw_plots(run, history)
    write_report(run, report, plots)
    values = json.loads((run.path / "report.json").read_text())
    assert values["rows"][0]["label"] == "steps 1-3"
    assert values["rows"][0]["change"]["paired"] is False
    text = (run.path / "report.md").read_text()
    assert "| steps 1-3 | 45.0 ±2.1 | 75.0 ±1.8 | +30.0 ±2.8 |" in text
    assert "![overview](plots/overview.png)" in text


def test_plots_are_images_of_every_kind(run: RunFolder, step_metrics: MakeStep, heldout_metrics: MakeHeldout) -> None:
    drawn = draw_plots(run, _history(step_metrics, heldout_metrics))
    assert [path.name for path in drawn] == [
        *("heldout.png", "modes.png", "rewards.png", "proposals.png", "time.png", "overview.png"),
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_run_that_was_only_evaluated_still_has_its_plots(run: RunFolder, heldout_metrics: MakeHeldout) -> None:
    drawn = draw_plots(run, History(heldouts=(heldout_metrics(0),)))
    assert [path.name for path in drawn] == ["heldout.png", "modes.png"]


def test_a_mode_that_fails_for_a_step_leaves_a_gap(run: RunFolder, step_metrics: MakeStep) -> None:
    steps = (
        step_metrics(1),
        step_metrics(2, reward={"solver": {"deduction": 1.0}}, pass_rate=None, think_tokens={}),
        step_metrics(3),
    )
    assert len(draw_plots(run, History(steps=steps))) == 3
