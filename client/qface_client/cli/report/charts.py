"""Distributions as tables of bars and as histograms, drawn in SVG within the page."""

import functools
from collections.abc import Iterator

from ...kinds._distributions import Bars, Chart, Histogram
from . import markup

_WIDTH, _HEIGHT, _FOOT = 420, 150, 34  # of a histogram in its own units; its foot has the numbers
_TICKS = 6  # numbers below a histogram, at most


@functools.singledispatch
def drawn(chart: Chart) -> Iterator[str]:
    """A chart's HTML."""
    raise TypeError(f"no drawing for {type(chart).__name__}")


@drawn.register
def _bars(chart: Bars) -> Iterator[str]:
    counted = any(bar.count is not None for bar in chart.bars)
    yield f'<table class="bars"><caption>{markup.text(chart.about)}</caption><tbody>'
    for bar in chart.bars:
        number = "" if bar.count is None else f"{bar.count:,}"
        yield (
            f'<tr><th scope="row">{markup.text(bar.name)}</th>'
            '<td class="bar"><svg width="100%" height="10" aria-hidden="true">'
            f'<rect width="100%" height="10" rx="3" class="rail"/>'
            f'<rect width="{100 * bar.share:.1f}%" height="10" rx="3" class="fill"/></svg></td>'
            f'<td class="number">{bar.share:.0%}</td>'
            + (f'<td class="number dim">{number}</td>' if counted else "")
            + "</tr>"
        )
    yield "</tbody></table>"


@drawn.register
def _histogram(chart: Histogram) -> Iterator[str]:
    highest = max(chart.counts) or 1
    step = _WIDTH / len(chart.counts)
    plot = _HEIGHT - _FOOT
    about = markup.text(chart.about)
    yield '<figure class="histogram">'
    yield f'<svg viewBox="-14 -14 {_WIDTH + 28} {_HEIGHT + 14}" role="img" aria-label="{about}">'
    yield f'<line x1="0" x2="{_WIDTH}" y1="{plot}" y2="{plot}" class="axis"/>'
    for place, faces in enumerate(chart.counts):
        height = plot * faces / highest
        low, high = chart.edges[place], chart.edges[place + 1]
        yield (
            f'<rect x="{place * step + 0.75:.2f}" y="{plot - height:.2f}" width="{step - 1.5:.2f}" '
            f'height="{height:.2f}" class="fill"><title>{low:g} to {high:g} {markup.text(chart.unit)}: '
            f"{markup.count(faces, 'face')}</title></rect>"
        )
    every = -(-len(chart.edges) // _TICKS)
    for place in range(0, len(chart.edges), every):
        yield f'<text x="{place * step:.1f}" y="{plot + 16}" class="tick">{chart.edges[place]:g}</text>'
    yield f'<text x="0" y="-4" class="tick start">highest bar: {markup.count(highest, "face")}</text>'
    yield f"</svg><figcaption>{about}</figcaption></figure>"
