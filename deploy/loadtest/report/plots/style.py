"""How plots look, and how one becomes SVG for a page.

Colours are Okabe and Ito's, which colour-blind readers tell apart; series differ by marker or dash as well.
In the SVG each colour is a variable of the page's style sheet, so that the page has a light and a dark form.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

INK, MUTED, GRID = "#1b1f24", "#59636e", "#d9dee3"
# Neighbours of a stack differ in lightness or between blue and yellow, which everybody sees.
BLUE, ORANGE, GREEN, SKY, VERMILION, PURPLE, BROWN, GREY = SERIES = (
    "#0072b2", "#e69f00", "#009e73", "#56b4e9", "#d55e00", "#cc79a7", "#8c6d46", "#8a929b",
)  # fmt: skip
ON_DARK = "#fffffe"  # text on the series that are dark on light ground
# From a low load to a high one: light to dark, so that their order is seen without hues.
RAMP = ("#9ecae1", "#73b2d8", "#4a98c9", "#2b7bba", "#1660a5", "#0b4684", "#082d5e")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: Sequence[Any] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))

# The variables of the style sheet: name -> colour on light ground, on dark ground.
COLOURS: Mapping[str, tuple[str, str]] = {
    "ink": (INK, "#e8ebee"),
    "muted": (MUTED, "#a3adb8"),
    "grid": (GRID, "#363d45"),
    "on-dark": (ON_DARK, "#101418"),
    **{
        f"series-{index}": pair
        for index, pair in enumerate(
            zip(
                SERIES,
                ("#4cabe6", "#f2b844", "#33c79e", "#8fd3f8", "#f2854a", "#e3a5c8", "#c4a27a", "#939ca6"),
                strict=True,
            )
        )
    },
    # On dark ground a high load is light.
    **{
        f"ramp-{index}": pair
        for index, pair in enumerate(
            zip(
                RAMP,
                ("#2f6591", "#3a78a8", "#478dc1", "#5ba2d6", "#7cb8e4", "#a4ceef", "#d3e6f6"),
                strict=True,
            )
        )
    },
}
WIDTH = 7.6  # inches
_NAME_LENGTH = 44
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

_SETTINGS: Any = {  # names of settings -> values, which matplotlib types one by one
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
}


@contextmanager
def styled() -> Iterator[None]:
    """Within it figures are made and written in this style."""
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # A browser has the signs that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def figure(*, height: float) -> Figure:
    return Figure(figsize=(WIDTH, height), layout="constrained")


def to_svg(drawn: Figure, *, name: str, label: str) -> str:
    """An <svg> element to be put into a page; its identifiers begin with `name`.

    label: what it shows, for who can't see it; escaped here
    """
    held = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}):
        drawn.savefig(held, format="svg", metadata=nothing)
    svg = _UNPRINTABLE.sub("�", held.getvalue())
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda found: _own_id(found[1], name) if found[1] in used else "", svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r"xlink:href=\"#", f'href="#{name}-', svg)
    svg = re.sub(r"(font(?:-family)?: [^;\"]*?)'DejaVu Sans'[^;\"]*", r"\1var(--font)", svg)
    for variable, (colour, _) in COLOURS.items():
        svg = svg.replace(f"{colour};", f"var(--{variable});").replace(f'{colour}"', f'var(--{variable})"')
    box = re.search(r'viewBox="[^"]+"', svg)
    assert box is not None
    opening = f'<svg {box[0]} role="img" aria-label="{_attribute(label)}">'
    svg = re.sub(r"^<svg[^>]*>", lambda found: opening, svg)
    return re.sub(r">\s+<", ">\n<", svg).strip()


def milliseconds(axis: Any) -> None:
    """A logarithmic axis of milliseconds with plain numbers at 1, 2 and 5."""
    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def short(name: str) -> str:
    """A name that a plot has room for."""
    name = " ".join(name.split())
    return name if len(name) <= _NAME_LENGTH else f"{name[: _NAME_LENGTH - 1]}…"


def objective_line(axes: Axes, seconds: float, text: str) -> None:
    """A line at an objective's latency, with its text."""
    axes.axhline(1000 * seconds, color=VERMILION, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.annotate(
        text,
        xy=(0.005, 1000 * seconds),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        color=VERMILION,
        fontsize=8,
    )


def _own_id(identifier: str, name: str) -> str:
    return f' id="{name}-{identifier}"'


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
