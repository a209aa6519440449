"""Window after window: what was due and what ended, latencies, errors. A stall shows here."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

from deploy.loadtest.objectives import Objective
from deploy.loadtest.report.plots import style
from deploy.loadtest.report.stages import STALL_SECONDS
from deploy.loadtest.results import Stage

_LATE = 0.7
_ROTATED = 6  # stages from which on their names need a slope


def windows(stages: Sequence[tuple[str, Stage]], objective: Objective | None) -> Figure:
    """Named stages, one after the other on one axis of time."""
    errors = any(window.due != window.codes.get("OK", 0) for _, stage in stages for window in stage.windows)
    rows = 3 if errors else 2
    drawn = style.figure(height=(5.2 if errors else 4.3) + (0.4 if len(stages) >= _ROTATED else 0.0))
    axes = drawn.subplots(rows, 1, sharex=True, height_ratios=(1.0, 1.2, 0.55)[:rows])
    begin = 0.0
    whole = sum(window.seconds for _, stage in stages for window in stage.windows)
    for index, (name, stage) in enumerate(stages):
        _stage(axes, stage, begin, labelled=index == 0)
        if stage.gap >= STALL_SECONDS:
            _stall(axes, stage, begin, whole)
        end = begin + sum(window.seconds for window in stage.windows)
        _frame(axes, style.short(name), begin, end, rotated=len(stages) >= _ROTATED)
        begin = end
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("requests a second")
    axes[1].set_yscale("log")
    style.milliseconds(axes[1].yaxis)
    axes[1].set_ylabel("latency, ms")
    if objective is not None:
        style.objective_line(axes[1], objective.seconds, objective.text)
    if errors:
        axes[2].set_ylim(0, None)
        axes[2].set_ylabel("no answer, %")
    for each in axes[:2]:
        each.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)
    axes[-1].set_xlim(0, begin)
    axes[-1].set_xlabel("seconds of these stages (grey: warm-up, not measured)")
    return drawn


def _stage(axes: Sequence[Axes], stage: Stage, begin: float, *, labelled: bool) -> None:
    edges = begin + np.cumsum([0.0, *(window.seconds for window in stage.windows)])
    due = [window.due / window.seconds for window in stage.windows]
    ended = [window.ended / window.seconds for window in stage.windows]
    latency = [window.all_latency for window in stage.windows]

    def label(text: str) -> str | None:
        return text if labelled else None

    axes[0].stairs(due, edges, baseline=None, color=style.MUTED, linewidth=0.9, label=label("due"))
    axes[0].stairs(ended, edges, baseline=None, color=style.BLUE, linewidth=1.3, label=label("answered"))
    for share, colour, text in ((0.5, style.GREEN, "p50"), (0.99, style.BLUE, "p99")):
        values = [1000 * held.percentile(share) for held in latency]
        axes[1].stairs(values, edges, baseline=None, color=colour, linewidth=1.3, label=label(text))
    slowest = [1000 * held.most for held in latency]
    axes[1].plot(
        (edges[:-1] + edges[1:]) / 2,
        slowest,
        linestyle="none",
        marker=".",
        markersize=2.5,
        color=style.VERMILION,
        label=label("slowest"),
    )
    if len(axes) > 2:
        shares = [
            100 * (1 - window.codes.get("OK", 0) / window.due) if window.due else 0.0
            for window in stage.windows
        ]
        axes[2].stairs(shares, edges, fill=True, color=style.VERMILION)
    measured = begin + sum(window.seconds for window in stage.windows[: stage.warm_up])
    for each in axes:
        each.axvspan(begin, measured, color=style.GREY, alpha=0.18, linewidth=0)


def _stall(axes: Sequence[Axes], stage: Stage, begin: float, whole: float) -> None:
    """A band while no answer arrived, with its length."""
    begins = begin + stage.gap_begin
    # It may last into the time after the stage's last window, where the next stage is drawn.
    ends = min(begins + stage.gap, begin + sum(window.seconds for window in stage.windows))
    for each in axes:
        each.axvspan(begins, ends, color=style.VERMILION, alpha=0.22, linewidth=0)
    late = begins > _LATE * whole  # the text would not fit on its right
    axes[0].annotate(
        f"no answer for {stage.gap:.1f} s",
        xy=(begins if late else ends, 0.04),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if late else 3, 0),
        textcoords="offset points",
        ha="right" if late else "left",
        fontsize=7.5,
    )


def _frame(axes: Sequence[Axes], name: str, begin: float, end: float, *, rotated: bool) -> None:
    for each in axes:
        if begin:
            each.axvline(begin, color=style.MUTED, linewidth=0.8)
    top = axes[0]
    top.text(
        begin if rotated else (begin + end) / 2,
        1.03,
        name,
        transform=blended_transform_factory(top.transData, top.transAxes),
        fontsize=7.5,
        ha="left" if rotated else "center",
        va="bottom",
        rotation=30 if rotated else 0,
    )
