"""Terminal panel of an observation: bars for the plan, a ruler for the budget, sparklines over layers.

Everything is a rich `Text`, so the model's text is never read as markup. Its control characters are escaped.
"""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tina_azr.cli.summaries import FINISHES, SOURCES, STOPS
from tina_azr.engine.observation import ForecastPart, Observation
from tina_azr.formatting import percent, rate, sparkline, visible

_BAR = 30
_PARTS = " ▏▎▍▌▋▊▉"
_ROWS = 8
"""Largest number of tapped layers that get one row each."""
_PLAN, _USED, _BEFORE, _AFTER, _LAYER = "cyan", "green", "blue", "magenta", "yellow"


def observation_panel(record: Observation, prompt: str) -> RenderableType:
    """Build the panel of a whole record, without its log-probabilities."""
    parts: list[RenderableType] = [_labelled("prompt", prompt), *_text_rows(record), Text()]
    if record.forecast is None:
        parts.append(Text("this model has no heads: nothing was forecast", style="yellow"))
    else:
        parts += [_title("plan"), _plan(record.forecast)]
    parts += [_title("think tokens"), _budget(record)]
    if record.forecast is not None:
        parts += [_title("confidence"), _confidence(record)]
        if record.forecast.alpha is not None:
            parts += [_title("which layers were read"), _alpha(record.forecast, record.forecast.alpha)]
    parts += [_title("at the prompt's last token, layer by layer"), _activations(record), Rule(style="dim"), _facts(record)]
    parts += [Text(visible(line), style="yellow") for line in _warnings(record)]
    title = Text(f" {visible(record.model)} on {record.device} ", style="bold")
    return Panel(Group(*parts), title=title, title_align="left", box=box.ROUNDED, border_style="dim", padding=(0, 1))


def _text_rows(record: Observation) -> list[RenderableType]:
    answer = _labelled("answer", record.text.answer or "(none)", style="bold" if record.text.answer else "red")
    if record.text.full is None:
        return [answer]
    reasoning = record.text.full.partition("</think>")[0]
    return [_labelled("reasoning", reasoning.strip("\n"), style="dim italic"), answer]


def _labelled(label: str, text: str, style: str = "") -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", width=8)
    grid.add_column()
    grid.add_row(label, Text(visible(text.rstrip("\n")), style=style))
    return grid


def _title(text: str) -> Text:
    return Text(text, style="bold dim")


def bar(share: float, width: int = _BAR) -> str:
    """Return a bar that fills `share` of `width` cells, in eighths of a cell."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_PARTS[rest] if rest else "")).ljust(width)


def _grid() -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=10)
    grid.add_column(no_wrap=True)
    grid.add_column()
    return grid


def _plan(forecast: ForecastPart) -> Table:
    grid = _grid()
    for plan, share in forecast.plan.items():
        chosen = plan is forecast.plan_choice
        label = Text(plan, style="bold" if chosen else "")
        grid.add_row(label, Text(bar(share), style=_PLAN if chosen else "dim"), Text(percent(share, 0)))
    return grid


def _budget(record: Observation) -> Table:
    """Show the used tokens as a bar, with the marks of forecast, budget and think limit below it on the same scale."""
    marks = [(record.decision.budget, "▲", f"budget {record.decision.budget} {SOURCES[record.decision.source]}")]
    marks.append((record.decision.wall, "┃", f"limit {record.decision.wall}"))
    quantiles: list[tuple[float, str, str]] = []
    if record.forecast is not None:
        for name, tokens in record.forecast.budget_quantiles.items():
            quantiles.append((tokens, "┆", f"{percent(float(name), 0)} within {tokens:.0f}"))
    used = record.sections.think_tokens
    most = max([used, 1, *(mark[0] for mark in [*marks, *quantiles])])
    grid = _grid()
    grid.add_row("used", Text(bar(used / most), style=_USED), Text(f"{used}, {STOPS[record.think_stop]}"))
    for name, group in (("forecast", quantiles), ("", marks)):
        if group:
            grid.add_row(name, Text(_ruler(group, most), style="dim"), Text(", ".join(mark[2] for mark in group), style="dim"))
    return grid


def _ruler(marks: Sequence[tuple[float, str, str]], most: float) -> str:
    cells = ["·"] * (_BAR + 1)
    for place, sign, _ in marks:
        cells[round(place / most * _BAR)] = sign
    return "".join(cells)


def _confidence(record: Observation) -> Table:
    assert record.forecast is not None
    grid = _grid()
    grid.add_row("before", Text(bar(record.forecast.c0), style=_BEFORE), Text(percent(record.forecast.c0, 0)))
    if record.cE is None:
        grid.add_row("after", Text("·" * _BAR, style="dim"), Text("the reasoning never closed", style="dim"))
    else:
        grid.add_row("after", Text(bar(record.cE), style=_AFTER), Text(percent(record.cE, 0)))
    return grid


def _alpha(forecast: ForecastPart, alpha: Sequence[float]) -> Table:
    grid = _grid()
    plans = forecast.plan_by_layer or []
    if len(alpha) > _ROWS:
        top = max(range(len(alpha)), key=alpha.__getitem__)
        chart = sparkline(alpha, width=len(alpha), least_span=0.0)
        grid.add_row(f"{forecast.layers[0]} to {forecast.layers[-1]}", Text(chart, style=_LAYER))
        grid.add_row("most", Text(f"layer {forecast.layers[top]}, {percent(alpha[top], 0)}", style="dim"))
        return grid
    for place, (layer, share) in enumerate(zip(forecast.layers, alpha, strict=True)):
        own_plan = f"  own plan: {plans[place]}" if plans else ""
        grid.add_row(f"layer {layer}", Text(bar(share), style=_LAYER), Text(f"{percent(share, 0)}{own_plan}"))
    return grid


def _activations(record: Observation) -> Table:
    grid = _grid()
    for name, values, least_span, unit in (
        ("norm", record.activations.layer_last_token_norms, 1.0, ""),
        ("entropy", record.activations.attn_entropies_last_token, 0.5, " nats"),
    ):
        chart = sparkline(values, width=len(values), least_span=least_span)
        span = f"{number(min(values))} to {number(max(values))}{unit}"
        grid.add_row(name, Text(chart, style=_LAYER), Text(span, style="dim"))
    return grid


def number(value: float) -> str:
    """Format a number with three digits: `2.71`, `212`, `48,100`."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _facts(record: Observation) -> Text:
    io, timing = record.io, record.timing
    tokens = f"{io.input_tokens} tokens read, {record.sections.think_tokens} reasoning, {record.sections.answer_tokens} answered"
    tokens += "".join(f", {count} in <{name}>" for name, count in record.sections.tag_tokens.items())
    times = (
        f"{timing.latency_s:.2f} s, {timing.time_to_first_token_s:.2f} to the first token, {rate(timing.tokens_per_sec)} tokens/s"
    )
    return Text(
        f"{FINISHES[record.finish_reason]} · {tokens}\n{times} · calibration {record.calibration_digest or 'none'}", style="dim"
    )


def _warnings(record: Observation) -> list[str]:
    found = [record.decision.warning] if record.decision.warning else []
    if record.abstain:
        found.append("the model does not trust this answer")
    if record.leak:
        found.append("the answer holds a think tag")
    return found
