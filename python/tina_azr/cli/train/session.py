"""One training session: run folder, lock, display, training loop and closing report."""

from rich.console import Console

from tina_azr.cli.console import print_line
from tina_azr.cli.train.plan import Plan, resume_command
from tina_azr.config import Config
from tina_azr.errors import TinaError
from tina_azr.formatting import counted, duration
from tina_azr.runs.checkpoint import Checkpoint
from tina_azr.runs.display import open_display
from tina_azr.runs.files import is_full_disk
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics_file import MetricsWriter, read_metrics
from tina_azr.runs.plots import draw_plots
from tina_azr.runs.progress import Goal
from tina_azr.runs.report import Report, make_report, print_report, write_report
from tina_azr.runs.resume import rewind
from tina_azr.runs.status import RunState, RunStatus
from tina_azr.train.trainer import EndReason, Trainer, TrainingEnd


def run_session(plan: Plan, console: Console) -> tuple[Report, bool]:
    """Train as planned. Return the report, and whether the user stopped the run."""
    run = RunFolder.open(plan.path) if plan.resume else RunFolder.create(plan.path, plan.config)
    with run.locked():
        end = _train(run, plan, console)
        stopped = end.reason is EndReason.STOPPED
        report = _close(run, console)
        _say_how_to_go_on(run, plan.config, end, console)
    return report, stopped


def _train(run: RunFolder, plan: Plan, console: Console) -> TrainingEnd:
    checkpoint = _prepare(run, plan, console)
    state, message = RunState.FAILED, "an error in the program; it was printed where the run was started"
    try:
        goal = Goal(steps=plan.config.run.steps, seconds=_seconds(plan.config))
        with (
            run.writing("tasks.sqlite"),
            open_display(console, title=f"tina-azr train · {plan.config.model.name} · {run.path}", goal=goal) as display,
        ):
            if checkpoint is not None:
                display.recall(read_metrics(run).heldouts)
            end = Trainer(plan.config, run, (MetricsWriter(run), display), checkpoint=checkpoint).run()
        state = RunState.INTERRUPTED if end.reason is EndReason.STOPPED else RunState.FINISHED
        message = _why_time_was_over(plan.config, end) if end.reason is EndReason.TIME else ""
        return end
    except TinaError as error:
        message = str(error)
        raise
    except KeyboardInterrupt:
        state, message = RunState.INTERRUPTED, "stopped at once, without a checkpoint"
        raise
    finally:
        _record_end(run, state, message)
        if state is not RunState.FINISHED and not plan.resume:
            run.remove_if_unused()


def _prepare(run: RunFolder, plan: Plan, console: Console) -> Checkpoint | None:
    if not plan.resume:
        _introduce(run, plan.config, console)
        return None
    checkpoint = rewind(run, plan.config, plan.from_step)
    with run.writing("config.yaml"):
        run.write_config(plan.config)
    status = run.read_status() if run.status_file.exists() else RunStatus.new(plan.config)
    step, seconds = (checkpoint.step, checkpoint.seconds) if checkpoint else (0, 0.0)
    run.write_status(status.changed(state=RunState.RUNNING, steps=plan.config.run.steps, step=step, seconds=seconds, message=""))
    start = f"Resuming from the checkpoint of step {step}." if checkpoint else "No checkpoint yet: starting from the beginning."
    _introduce(run, plan.config, console, start)
    return checkpoint


def _introduce(run: RunFolder, config: Config, console: Console, start: str = "") -> None:
    limit = f" or {config.run.max_minutes:g} minutes, whichever comes first" if config.run.max_minutes is not None else ""
    steps = counted(config.run.steps, "step")
    lines = (
        f"{config.model.name} proposes small programs as tasks; the sandbox checks them; it solves them and learns from the outcome.",
        f"{steps}{limit}, seed {config.seed}; accuracy on held-out tasks every {counted(config.heldout.every, 'step')}. {start}",
        f"Everything goes to {run.path}/. Ctrl-C saves and shows how to resume.",
    )
    print_line(console, "\n".join(line.rstrip() for line in lines))


def _close(run: RunFolder, console: Console) -> Report:
    history = read_metrics(run)
    report = make_report(run, history, run.read_status())
    write_report(run, report, draw_plots(run, history))
    console.print()
    print_report(report, console)
    return report


def _say_how_to_go_on(run: RunFolder, config: Config, end: TrainingEnd, console: Console) -> None:
    lines = [f"report.md, plots/ and {end.checkpoint.name} are in {run.path}/; the tasks it invented: tina-azr tasks {run.path}"]
    if end.reason is EndReason.STOPPED:
        lines.append(f"Stopped after step {end.step}; saved. Resume with: tina-azr train --resume {run.path}")
    elif end.reason is EndReason.TIME:
        why, command = _why_time_was_over(config, end), resume_command(run, config, end.seconds, time_over=True)
        lines.append(f"{why} Go further with: {command}")
    print_line(console, "\n".join(lines))


def _why_time_was_over(config: Config, end: TrainingEnd) -> str:
    """Return one paragraph. It names held-out evaluations if they take half of the time: the run may have ended before its first step."""
    minutes = config.run.max_minutes or 0.0
    said = f"The time was over at step {end.step} of {config.run.steps}."
    if 2 * end.heldout_seconds < 60 * minutes / 2:
        return said
    return (
        f"{said} One held-out evaluation takes {duration(end.heldout_seconds)}, the run may last {duration(60 * minutes)}, and time for "
        "the last evaluation is kept free: give it more minutes (--minutes), or start a new run with fewer held-out tasks "
        f"(--set heldout.per_cell=N; here {config.heldout.per_cell})."
    )


def _record_end(run: RunFolder, state: RunState, message: str) -> None:
    try:
        run.write_status(RunStatus.read(run.status_file).changed(state=state, message=message))
    except OSError as error:
        # The error that ended the run has already reported the full disk. Without a new status the run reads as "interrupted".
        if not is_full_disk(error):
            raise


def _seconds(config: Config) -> float | None:
    return None if config.run.max_minutes is None else 60 * config.run.max_minutes
