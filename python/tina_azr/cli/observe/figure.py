"""Figure of an observation: plan, budget and tokens used, confidence before and after reasoning, activations of the layers.

It does not use pyplot, so it needs no global state and no window system. Prompt and answer are drawn as plain text, not as mathtext.
"""

import textwrap
import warnings
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from tina_azr.cli.summaries import FINISHES, SOURCES, STOPS
from tina_azr.engine.observation import ForecastPart, Observation
from tina_azr.formatting import percent, rate, visible

_INK, _DIM, _FAINT = "#222222", "#777777", "#e4e6ea"
_PLAN, _OTHER_PLANS = "#2f6fb5", "#c3d3e6"
_USED, _OVER = "#3f9a5f", "#d9812b"
_BEFORE, _AFTER = "#7fb0dd", "#2f6fb5"
_ALPHA = "#8c5fb0"
_FEW_LAYERS = 5
"""Largest number of tapped layers that are all labelled."""
_STYLE: Any = {  # Any: matplotlib types the keys as 300 literals
    "font.size": 9,
    "text.color": _INK,
    "text.parse_math": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#aaaaaa",
    "axes.labelcolor": _DIM,
    "axes.axisbelow": True,
    "grid.color": _FAINT,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "savefig.dpi": 150,
}
_ANSWER_LINES = 3
_MAX_CHARS = 200
"""Characters of a line if all letters were narrow."""
_LEFT, _RIGHT = 0.03, 0.97
"""Left and right margin of text, as shares of the width."""


def draw_observation(record: Observation, path: Path) -> None:
    """Draw the figure and write it. Raises OSError for a path that cannot be written."""
    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A model may write in any script. A letter that the font lacks is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = _figure(record)
        figure.savefig(path, format="png")


def _figure(record: Observation) -> Figure:
    """Draw two rows of axes, or one row without a forecast."""
    rows = 1 if record.forecast is None else 2
    height = 1.9 + 2.35 * rows
    figure = Figure(figsize=(12, height))
    _header(figure, record, height)
    _footer(figure, record, height)
    # The margins are in inches, so texts have the same space in both layouts.
    bounds = {"left": 0.085, "right": 0.945, "top": 1 - 1.95 / height, "bottom": 0.85 / height}
    grid = figure.add_gridspec(rows, 3, hspace=0.68, wspace=0.3, **bounds)
    if record.forecast is not None:
        _plan(figure.add_subplot(grid[0, 0]), record.forecast)
        _confidence(figure.add_subplot(grid[0, 1]), record.forecast, record.cE)
        _alpha(figure.add_subplot(grid[0, 2]), record.forecast)
    _budget(figure.add_subplot(grid[-1, :2]), record)
    _states(figure.add_subplot(grid[-1, 2]), record)
    return figure


def _header(figure: Figure, record: Observation, height: float) -> None:
    heads = "" if record.forecast is not None else ", this model has no heads: nothing was forecast"
    _lines(figure, 1 - 0.28 / height, f"{record.model} on {record.device}{heads}", 1, color=_DIM, fontsize=8, va="center")
    _lines(figure, 1 - 0.55 / height, record.io.prompt_preview, 1, fontsize=11, weight="bold", va="center")
    color = _INK if record.text.answer else _OVER
    answer = record.text.answer or "no answer"
    _lines(figure, 1 - 0.76 / height, answer, _ANSWER_LINES, color=color, va="top", linespacing=1.35)


def _lines(figure: Figure, y: float, text: str, most: int, **style: Any) -> None:
    """Write at most `most` lines, wrapped at the figure's width; an ellipsis marks omitted text."""
    label = figure.text(_LEFT, y, "", **style)
    room, chars = (_RIGHT - _LEFT) * figure.bbox.width, _MAX_CHARS
    while chars:
        label.set_text("\n".join(_shortened(text, most, chars)))
        width = label.get_window_extent().width
        if width <= room:
            return
        chars = min(chars - 1, int(chars * room / width))


def _shortened(text: str, lines: int, chars: int) -> list[str]:
    wrapped = [part for line in visible(text).expandtabs(4).splitlines() for part in textwrap.wrap(line, chars) if part.strip()]
    return wrapped if len(wrapped) <= lines else [*wrapped[: lines - 1], f"{wrapped[lines - 1]} …"]


def _footer(figure: Figure, record: Observation, height: float) -> None:
    words = [
        FINISHES[record.finish_reason],
        f"{record.io.input_tokens} tokens read, {record.sections.think_tokens} reasoning, {record.sections.answer_tokens} answered",
        f"{record.timing.latency_s:.2f} s, {rate(record.timing.tokens_per_sec)} tokens/s",
        f"temperature {record.decode.temperature:g}, top-p {record.decode.top_p:g}, seed {record.decode.seed}",
        f"calibration {record.calibration_digest or 'none'}",
    ]
    figure.text(_LEFT, 0.16 / height, "   ·   ".join(words), color=_DIM, fontsize=8)


def _plan(axis: Axes, forecast: ForecastPart) -> None:
    axis.set_title("Plan")
    names = list(forecast.plan)
    shares = [forecast.plan[name] for name in names]
    colors = [_PLAN if name is forecast.plan_choice else _OTHER_PLANS for name in names]
    axis.barh(range(len(names)), shares, color=colors, height=0.62)
    for row, share in enumerate(shares):
        axis.text(share + 0.015, row, percent(share, 0), va="center", color=_INK if colors[row] == _PLAN else _DIM)
    axis.set_yticks(range(len(names)), [name.value for name in names])
    axis.invert_yaxis()
    _share_axis(axis)


def _confidence(axis: Axes, forecast: ForecastPart, after: float | None) -> None:
    axis.set_title("Confidence that the answer is correct")
    before = forecast.c0
    axis.barh([0], [before], color=_BEFORE, height=0.5)
    axis.text(before + 0.015, 0, percent(before, 0), va="center")
    if after is None:
        axis.text(0.015, 1, "the reasoning never closed", va="center", color=_DIM, backgroundcolor="white")
    else:
        axis.barh([1], [after], color=_AFTER, height=0.5)
        axis.text(after + 0.015, 1, percent(after, 0), va="center", weight="bold")
    axis.set_yticks([0, 1], ["before\nthinking", "after\nthinking"])
    axis.set_ylim(1.6, -0.6)
    _share_axis(axis)


def _share_axis(axis: Axes) -> None:
    axis.set_xlim(0, 1.12)
    axis.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axis.xaxis.set_major_formatter(PercentFormatter(1.0))
    axis.grid(axis="x")
    axis.spines["left"].set_visible(False)


def _budget(axis: Axes, record: Observation) -> None:
    decision, used = record.decision, record.sections.think_tokens
    axis.set_title(f"Think tokens: {used} used, {STOPS[record.think_stop]}")
    quantiles = {} if record.forecast is None else record.forecast.budget_quantiles
    axis.barh([0], [decision.wall], color=_FAINT, height=0.5)
    axis.barh([0], [min(used, decision.budget)], color=_USED, height=0.5)
    if used > decision.budget:
        axis.barh([0], [used - decision.budget], left=[decision.budget], color=_OVER, height=0.5)
    most = max([used, decision.wall, 1, *quantiles.values()])
    # Each label is to the right of its mark, and the leftmost mark is the longest, so no line crosses a label.
    marks = (
        (decision.budget, 0.72, f"budget {decision.budget}, {SOURCES[decision.source]}", "-"),
        (decision.wall, 0.46, f"limit {decision.wall}", ":"),
    )
    for tokens, height, label, line in marks:
        axis.plot([tokens] * 2, [-height, 0.25], color=_INK, lw=1.6, ls=line)
        axis.text(tokens + 0.008 * most, -height + 0.06, label, va="center", fontsize=8)
    for step, (name, need) in enumerate(reversed(quantiles.items())):
        row = 0.47 + 0.27 * step
        axis.plot([need] * 2, [0.25, row], color=_PLAN, lw=1)
        axis.plot([need], [row], marker="o", ms=3.5, color=_PLAN)
        label = f"{percent(float(name), 0)} need at most {need:.0f}"
        axis.text(need + 0.012 * most, row, label, va="center", fontsize=8, color=_PLAN)
    axis.set_xlim(0, 1.3 * most)
    axis.set_ylim(1.25, -0.85)
    axis.set_yticks([])
    axis.spines["left"].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))


def _alpha(axis: Axes, forecast: ForecastPart) -> None:
    few = len(forecast.layers) <= _FEW_LAYERS
    axis.set_title("Layers read, and their own plans" if few and forecast.plan_by_layer else "Layers read")
    if forecast.alpha is None:
        axis.text(
            0.5, 0.5, "no attention over layers in these heads", ha="center", va="center", color=_DIM, transform=axis.transAxes
        )
        axis.set_axis_off()
        return
    places = range(len(forecast.layers))
    axis.bar(places, forecast.alpha, color=_ALPHA, width=0.62 if few else 0.8)
    if few:
        for place, share in zip(places, forecast.alpha, strict=True):
            axis.text(place, share + 0.02 * max(forecast.alpha), percent(share, 0), ha="center", va="bottom")
        plans = [f"\n{plan}" for plan in forecast.plan_by_layer] if forecast.plan_by_layer else [""] * len(places)
        axis.set_xticks(places, [f"{layer}{plan}" for layer, plan in zip(forecast.layers, plans, strict=True)])
        axis.set_xlim(-0.7, len(places) - 0.3)
    else:
        axis.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        axis.xaxis.set_major_formatter(
            FuncFormatter(lambda place, _: str(forecast.layers[int(place)]) if 0 <= place < len(places) else "")
        )
        axis.set_xlabel("decoder layer")
    axis.set_ylim(0, 1.16 * max(forecast.alpha))
    axis.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axis.grid(axis="y")
    axis.spines["left"].set_visible(False)


def _states(axis: Axes, record: Observation) -> None:
    """Draw state norms and attention entropies, each with a scale in the color of its line."""
    axis.set_title("At the prompt's last token")
    norms, entropies = record.activations.layer_last_token_norms, record.activations.attn_entropies_last_token
    layers, size = range(len(norms)), 4 if len(norms) <= _FEW_LAYERS else 2.5
    axis.plot(layers, norms, color=_USED, marker="o", ms=size)
    axis.set_ylabel("state norm", color=_USED, labelpad=2)
    axis.set_ylim(0, 1.12 * max(norms))
    other = axis.twinx()
    other.plot(layers, entropies, color=_OVER, marker="o", ms=size)
    other.set_ylabel("attention entropy, nats", color=_OVER, labelpad=4)
    other.set_ylim(0, 1.12 * max(*entropies, 0.1))
    for one, color in ((axis, _USED), (other, _OVER)):
        one.tick_params(axis="y", colors=color)
        one.yaxis.set_major_locator(MaxNLocator(nbins=4))
        one.spines["left"].set_visible(False)
    axis.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
    axis.set_xlabel("decoder layer")
    axis.grid(axis="y")
