"""Where the time of a request goes, what processor time it takes, and other tools' figures beside ours."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deploy.loadtest.report.plots import style
from deploy.loadtest.report.stages import figure as figure_text

_LEAST_LABELLED = 0.085  # of the longest bar, for a number to have room in a part
_HATCHES = ("", "////", "....", "xxxx")  # of parts beyond the colours
_ON_COLOUR = "#101418"
_DARK = (style.BLUE, style.BROWN)
_ROW = 0.3  # inches
_LEGEND_ROW = 0.19


@dataclasses.dataclass(frozen=True, kw_only=True)
class Beside:
    """One figure of another tool, and ours."""

    name: str
    theirs: float
    ours: float


def split(rows: Sequence[tuple[str, Mapping[str, float]]], waiting: Sequence[str]) -> Figure:
    """Milliseconds of a request by part and stage: work stacked on the left, waiting on the right.

    waiting: the parts that are no work; at a high load they would leave nothing to be seen of it
    """
    parts = list(dict.fromkeys(part for _, by_part in rows for part in by_part))
    work = [part for part in parts if part not in waiting]
    waits = [part for part in parts if part in waiting]
    panels = [(title, names) for title, names in (("work, ms", work), ("waiting, ms", waits)) if names]
    drawn = style.figure(height=_height(len(rows), len(parts)))
    axes = drawn.subplots(1, len(panels), sharey=True, squeeze=False, width_ratios=[1.7, 1.0][: len(panels)])[
        0
    ]
    for each, (title, names) in zip(axes, panels, strict=True):
        _stacked(each, rows, names, parts)
        each.set_title(title)
    _legend(drawn, axes)
    return drawn


def stacked(rows: Sequence[tuple[str, Mapping[str, float]]], title: str) -> Figure:
    """One bar a stage, of the same parts."""
    parts = list(dict.fromkeys(part for _, by_part in rows for part in by_part))
    drawn = style.figure(height=_height(len(rows), len(parts)))
    axes = drawn.subplots()
    _stacked(axes, rows, parts, parts)
    axes.set_title(title)
    _legend(drawn, [axes])
    return drawn


def beside(rates: Sequence[Beside], latencies: Sequence[Beside]) -> Figure:
    """Other tools' figures and ours: answers a second above, milliseconds below."""
    panels = [
        (title, figures)
        for title, figures in (("answers a second", rates), ("latency, ms", latencies))
        if figures
    ]
    rows = [len(figures) for _, figures in panels]
    drawn = style.figure(height=0.4 + 0.55 * len(panels) + 0.24 * sum(rows))
    axes = drawn.subplots(len(panels), 1, squeeze=False, height_ratios=rows)[:, 0]
    for each, (title, figures) in zip(axes, panels, strict=True):
        places = range(len(figures))
        for place, one in zip(places, figures, strict=True):
            each.plot([one.theirs, one.ours], [place, place], color=style.MUTED, linewidth=1.0)
        each.plot(
            [one.ours for one in figures],
            places,
            "o",
            color=style.BLUE,
            markersize=6.5,
            label="this load test",
        )
        each.plot(
            [one.theirs for one in figures],
            places,
            "D",
            color=style.VERMILION,
            markerfacecolor="none",
            markersize=6.5,
            markeredgewidth=1.4,
            label="the other tool",
        )
        each.set_yticks(list(places), [style.short(one.name) for one in figures])
        each.set_ylim(len(figures) - 0.5, -0.5)
        each.set_xlim(0, 1.05 * max(max(one.theirs, one.ours) for one in figures))
        each.xaxis.set_major_locator(MaxNLocator(5))
        each.grid(axis="y", visible=False)
        each.set_title(title)
    _legend(drawn, list(axes[:1]))
    return drawn


def _stacked(
    axes: Axes,
    rows: Sequence[tuple[str, Mapping[str, float]]],
    shown: Sequence[str],
    all_parts: Sequence[str],
) -> None:
    longest = max(sum(by_part.get(part, 0.0) for part in shown) for _, by_part in rows) or 1.0
    places = range(len(rows))
    left = [0.0] * len(rows)
    for part in shown:
        index = list(all_parts).index(part)
        colour = style.SERIES[index % len(style.SERIES)]
        widths = [max(0.0, by_part.get(part, 0.0)) for _, by_part in rows]
        axes.barh(
            places,
            widths,
            left=left,
            height=0.68,
            color=colour,
            edgecolor=style.INK,
            linewidth=0.3,
            hatch=_HATCHES[index // len(style.SERIES) % len(_HATCHES)],
            label=style.short(part),
        )
        for place, width in zip(places, widths, strict=True):
            if width > _LEAST_LABELLED * longest and len(shown) > 1:
                axes.text(
                    left[place] + width / 2,
                    place,
                    figure_text(width),
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color=style.ON_DARK if colour in _DARK else _ON_COLOUR,
                )
        left = [held + width for held, width in zip(left, widths, strict=True)]
    for place, whole in zip(places, left, strict=True):
        axes.annotate(
            figure_text(whole),
            xy=(whole, place),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(list(places), [style.short(name) for name, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.14 * longest)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="y", visible=False)


def _height(rows: int, parts: int) -> float:
    return 0.75 + _ROW * rows + _LEGEND_ROW * -(-parts // 3)


def _legend(drawn: Figure, axes: Sequence[Axes]) -> None:
    found: dict[str, Any] = {}
    for each in axes:
        handles, labels = each.get_legend_handles_labels()
        found |= {str(label): handle for label, handle in zip(labels, handles, strict=True)}
    drawn.legend(found.values(), found.keys(), loc="outside lower left", ncols=3)
