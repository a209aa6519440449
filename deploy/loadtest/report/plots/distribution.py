"""How latencies are distributed: the percentile of each share, out to the rarest that enough answers have."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from deploy.loadtest.objectives import FEWEST_BEYOND, Objective
from deploy.loadtest.report.plots import style
from deploy.loadtest.results import Stage

MOST = len(style.RAMP)  # curves that a panel has colours for
_TICKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.99999)
_POINTS = 120


def curves(panels: Sequence[tuple[str, Sequence[tuple[str, Stage]]]], objective: Objective | None) -> Figure:
    """A panel each, of a title and named stages from the lowest load to the highest.

    Each stage has answers enough for a p50.
    """
    drawn = style.figure(height=0.4 + 2.5 * len(panels))
    all_axes = drawn.subplots(len(panels), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axes, (title, stages) in zip(all_axes, panels, strict=True):
        for place, (name, stage) in enumerate(stages):
            _curve(axes, name, stage, place, len(stages))
        axes.set_title(title)
        if objective is not None:
            style.objective_line(axes, objective.seconds, objective.text)
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(
            handles[::-1], labels[::-1], loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2
        )
    last = all_axes[-1]
    last.set_yscale("log")
    style.milliseconds(last.yaxis)
    last.xaxis.set_major_locator(FixedLocator([_place(share) for share in _TICKS]))
    last.xaxis.set_minor_locator(NullLocator())
    last.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{100 * (1 - 10**-value):.6g}"))
    last.set_xlim(left=0)
    last.set_xlabel("% of the answers took at most")
    return drawn


def thinned(stages: Sequence[tuple[str, Stage]]) -> list[tuple[str, Stage]]:
    """As many as a panel shows, evenly of all, the first and the last among them."""
    if len(stages) <= MOST:
        return list(stages)
    return [stages[round(index * (len(stages) - 1) / (MOST - 1))] for index in range(MOST)]


def _curve(axes: Axes, name: str, stage: Stage, place: int, count: int) -> None:
    latency = stage.latency
    rarest = 1 - FEWEST_BEYOND / latency.count
    places = np.linspace(0.0, _place(rarest), _POINTS)
    values = [1000 * latency.percentile(max(1e-9, 1 - 10 ** -float(value))) for value in places]
    colour = style.RAMP[round(place * (MOST - 1) / max(1, count - 1)) if count > 1 else MOST - 3]
    axes.plot(places, values, color=colour, linestyle=style.DASHES[place % len(style.DASHES)], label=name)


def _place(share: float) -> float:
    """Where a share stands: each nine is as wide as the one before it."""
    return -math.log10(1 - share)
