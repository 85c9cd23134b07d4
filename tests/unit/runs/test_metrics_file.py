"""`metrics.jsonl`: the names that scripts rely on, every line whole, cut back on resume."""

import json
from collections.abc import Callable

import pytest

from tina_azr.errors import CheckpointError
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import WALL_CLOCK_FIELDS, HeldoutMetrics, HeldoutOutcome, StepMetrics, deterministic
from tina_azr.runs.metrics_file import MetricsWriter, cut_metrics, read_metrics, read_outcomes
from tina_azr.runs.status import RunStatus

MakeStep = Callable[..., StepMetrics]
MakeHeldout = Callable[..., HeldoutMetrics]


def test_step_line_has_the_documented_fields(step_metrics: MakeStep) -> None:
    line = step_metrics(3).to_json()
    assert line["kind"] == "step"
    assert {"step", "seconds", "valid_rate", "distinct_rate", "reward", "seconds_by_phase", "programs_per_second"} <= set(line)
    assert set(line["reward"]) == {"proposer", "solver"}  # type: ignore[call-overload]


def test_heldout_line_has_the_documented_fields(heldout_metrics: MakeHeldout) -> None:
    line = heldout_metrics(10).to_json()
    assert line["kind"] == "heldout"
    documented = {"step", "seconds", "n", "accuracy", "stderr", "accuracy_greedy", "by_mode", "by_stratum", "think_tokens"}
    assert documented <= set(line)
    assert set(line["by_stratum"]) == {"1", "2", "3", "4", "5", "6"}  # type: ignore[call-overload]


def test_what_is_not_a_number_is_null_and_the_line_stays_json(step_metrics: MakeStep) -> None:
    line = step_metrics(loss=float("nan"), reward={"solver": {"deduction": float("inf")}}).to_json()
    assert line["loss"] is None
    assert line["reward"] == {"solver": {"deduction": None}}
    json.dumps(line, allow_nan=False)


def test_wall_clock_fields_are_the_only_ones_that_a_slow_machine_changes(step_metrics: MakeStep) -> None:
    fast = step_metrics(1).to_json()
    slow = step_metrics(1, seconds=99.0, programs_per_second=1.0, tokens_per_second=1.0, seconds_by_phase={"learn": 90.0}).to_json()
    assert deterministic(fast) == deterministic(slow)
    assert set(fast) - set(deterministic(fast)) == WALL_CLOCK_FIELDS


def test_lines_read_back_as_they_were(run: RunFolder, step_metrics: MakeStep, heldout_metrics: MakeHeldout) -> None:
    writer = MetricsWriter(run)
    writer.on_heldout(heldout_metrics(0))
    writer.on_step(step_metrics(1))
    history = read_metrics(run)
    assert history.steps == (step_metrics(1),)
    assert history.heldouts == (heldout_metrics(0),)


def test_each_line_is_on_file_before_the_call_returns(run: RunFolder, step_metrics: MakeStep) -> None:
    writer = MetricsWriter(run)
    for step in (1, 2, 3):
        writer.on_step(step_metrics(step))
        assert run.metrics_file.read_text().count("\n") == step


def test_the_status_follows_the_steps(run: RunFolder, step_metrics: MakeStep) -> None:
    MetricsWriter(run).on_step(step_metrics(4))
    status = RunStatus.read(run.status_file)
    assert (status.step, status.seconds) == (4, 26.0)


def test_the_status_counts_the_time_of_evaluations(run: RunFolder, heldout_metrics: MakeHeldout) -> None:
    MetricsWriter(run).on_heldout(heldout_metrics(2))
    status = RunStatus.read(run.status_file)
    assert (status.step, status.seconds) == (2, 13.0)


def test_outcomes_are_kept_beside_the_metrics(run: RunFolder, heldout_metrics: MakeHeldout) -> None:
    outcomes = (
        HeldoutOutcome(key="a" * 64, mode="deduction", stratum=2, correct=1.0, correct_greedy=0.0, think_tokens=12.0),
        HeldoutOutcome(key="a" * 64, mode="abduction", stratum=2, correct=0.0, correct_greedy=None, think_tokens=3.0),
    )
    MetricsWriter(run).on_heldout(heldout_metrics(10, outcomes=outcomes))
    assert read_outcomes(run, 10) == outcomes
    assert read_outcomes(run, 20) == ()


def test_cutting_keeps_earlier_lines_byte_for_byte(run: RunFolder, step_metrics: MakeStep, heldout_metrics: MakeHeldout) -> None:
    writer = MetricsWriter(run)
    writer.on_heldout(heldout_metrics(0))
    writer.on_step(step_metrics(1))
    writer.on_step(step_metrics(2))
    before = run.metrics_file.read_bytes()
    writer.on_heldout(heldout_metrics(2))
    kept = run.metrics_file.read_bytes()
    writer.on_step(step_metrics(3))
    writer.on_heldout(heldout_metrics(3, outcomes=read_outcomes(run, 0)))
    assert cut_metrics(run, 2) == 2
    assert run.metrics_file.read_bytes() == kept
    assert kept.startswith(before)


def test_cutting_removes_later_outcomes(run: RunFolder, heldout_metrics: MakeHeldout) -> None:
    outcome = HeldoutOutcome(key="k", mode="deduction", stratum=1, correct=1.0, correct_greedy=None, think_tokens=1.0)
    for step in (0, 10):
        MetricsWriter(run).on_heldout(heldout_metrics(step, outcomes=(outcome,)))
    cut_metrics(run, 0)
    assert [path.name for path in run.heldout.iterdir()] == ["step-0.jsonl"]


def test_minus_one_cuts_everything(run: RunFolder, heldout_metrics: MakeHeldout) -> None:
    MetricsWriter(run).on_heldout(heldout_metrics(0))
    assert cut_metrics(run, -1) == 1
    assert read_metrics(run).heldouts == ()


def test_a_line_that_a_kill_left_half_written_does_not_count(run: RunFolder, step_metrics: MakeStep) -> None:
    writer = MetricsWriter(run)
    writer.on_step(step_metrics(1))
    whole = run.metrics_file.read_bytes()
    with run.metrics_file.open("ab") as file:
        file.write(b'{"kind": "step", "step": 2, "seco')
    assert [metrics.step for metrics in read_metrics(run).steps] == [1]
    assert cut_metrics(run, 5) == 0
    assert run.metrics_file.read_bytes() == whole


def test_a_damaged_line_in_the_middle_is_named(run: RunFolder, step_metrics: MakeStep) -> None:
    run.metrics_file.write_text("{}\nnonsense\n{}\n")
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl, line 2 is not JSON"):
        read_metrics(run)


def test_a_line_without_a_field_is_named(run: RunFolder) -> None:
    run.metrics_file.write_text('{"kind": "step", "step": 1}\n')
    with pytest.raises(CheckpointError, match=r"line 1 lacks the field 'seconds'"):
        read_metrics(run)


def test_kinds_of_later_versions_are_left_out(run: RunFolder) -> None:
    run.metrics_file.write_text('{"kind": "introspection", "step": 1}\n')
    assert read_metrics(run).steps == ()


def test_a_line_without_a_newer_metric_is_read_with_its_default(step_metrics: Callable[..., StepMetrics]) -> None:
    line = step_metrics(introspection={"c0": 0.5}).to_json()
    del line["introspection"]
    assert StepMetrics.from_json(line) == step_metrics(introspection=None)


def test_a_line_without_a_metric_of_every_release_is_refused(step_metrics: Callable[..., StepMetrics]) -> None:
    line = step_metrics().to_json()
    del line["pass_rate"]
    with pytest.raises(KeyError, match="pass_rate"):
        StepMetrics.from_json(line)


def test_phases_keep_their_documented_keys(step_metrics: Callable[..., StepMetrics]) -> None:
    metrics = step_metrics(seconds_by_phase={"probe": 0.1, "chained": 0.25})
    assert metrics.to_json()["seconds_by_phase"] == {"probe": 0.1, "stretch": 0.25}
    assert StepMetrics.from_json(metrics.to_json()) == metrics
