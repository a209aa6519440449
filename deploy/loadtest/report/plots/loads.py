"""What a server gives at each load: against clients, and against the rate at which requests come."""

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

from deploy.loadtest.loads import ClosedLoop
from deploy.loadtest.objectives import Objective
from deploy.loadtest.report.plots import style
from deploy.loadtest.report.stages import milliseconds, rate_of
from deploy.loadtest.results import Stage
from qface_client.measuring.percentiles import percentile_name

# p99, which objectives are about, is the solid one.
_SHARES = (
    (0.5, style.GREEN, style.DASHES[1]),
    (0.9, style.ORANGE, style.DASHES[2]),
    (0.99, style.BLUE, style.DASHES[0]),
    (0.999, style.PURPLE, style.DASHES[3]),
)


def clients(stages: Sequence[Stage], objective: Objective | None) -> Figure:
    """Throughput and latency of closed loops, ordered by their clients."""
    drawn = style.figure(height=4.6)
    above, below = drawn.subplots(2, 1, sharex=True)
    numbers = [stage.load.clients for stage in stages if isinstance(stage.load, ClosedLoop)]
    rates = [stage.rate for stage in stages]
    above.plot(numbers, rates, color=style.BLUE, marker="o", label="answers")
    if any(stage.faces for stage in stages) and any(
        abs(stage.faces - stage.rate) > 0.02 * stage.rate for stage in stages
    ):
        faces = [stage.faces for stage in stages]
        above.plot(numbers, faces, color=style.ORANGE, marker="s", linestyle=style.DASHES[1], label="faces")
        above.legend(loc="lower right")
    _unstable(above, numbers, stages, lambda stage: stage.rate)
    above.set_ylim(bottom=0)
    above.set_title("answered, a second")
    _percentiles(below, numbers, stages, objective)
    below.set_xscale("log", base=2)
    below.xaxis.set_major_locator(FixedLocator(sorted(set(numbers))))
    below.xaxis.set_minor_locator(NullLocator())
    below.xaxis.set_major_formatter(ScalarFormatter())
    below.set_xlabel("clients, each of which sends again once it was answered")
    return drawn


def rates(stages: Sequence[Stage], objective: Objective | None) -> Figure:
    """Latency, answers and what got none of open loops of one kind of arrivals, ordered by their rate.

    Of several stages of one rate the one with most requests is shown.
    """
    longest: dict[float, Stage] = {}
    for stage in stages:
        held = longest.get(rate_of(stage))
        if held is None or stage.due > held.due:
            longest[rate_of(stage)] = stage
    stages = list(longest.values())
    errors = [100 * stage.error_share for stage in stages]
    rows = 3 if any(errors) else 2
    drawn = style.figure(height=2.2 * rows + (0.2 if rows == 2 else -0.4))
    axes = drawn.subplots(rows, 1, sharex=True, height_ratios=(1.3, 1.0, 0.7)[:rows])
    offered = [rate_of(stage) for stage in stages]
    _percentiles(axes[0], offered, stages, objective)
    axes[0].set_title("latency from when each was due, ms")
    answered = axes[1]
    answered.plot(
        [0, max(offered)], [0, max(offered)], color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 2))
    )
    answered.plot(offered, [stage.rate for stage in stages], color=style.BLUE, marker="o", label="answered")
    if objective is not None:
        goodput = [stage.goodput(objective.seconds) for stage in stages]
        label = f"within {objective.duration} (goodput)"
        answered.plot(
            offered, goodput, color=style.VERMILION, marker="s", linestyle=style.DASHES[1], label=label
        )
    _unstable(answered, offered, stages, lambda stage: stage.rate)
    answered.set_ylim(bottom=0)
    answered.set_title("answers a second (dotted: as many as were offered)")
    answered.legend(loc="upper left")
    if rows == 3:
        axes[2].plot(offered, errors, color=style.VERMILION, marker="X")
        axes[2].set_ylim(bottom=0)
        axes[2].set_title("without an answer, %")
    axes[-1].set_xlim(left=0)
    axes[-1].set_xlabel("requests offered a second")
    return drawn


def _percentiles(
    axes: Axes, places: Sequence[float], stages: Sequence[Stage], objective: Objective | None
) -> None:
    """A line a percentile, where enough answers have it."""
    for index, (share, colour, dashes) in enumerate(_SHARES):
        values = [milliseconds(stage.latency, share) for stage in stages]
        known = [(place, value) for place, value in zip(places, values, strict=True) if value == value]
        if known:
            axes.plot(
                *zip(*known, strict=True),
                color=colour,
                marker=style.MARKERS[index],
                linestyle=dashes,
                label=percentile_name(share),
            )
    axes.set_yscale("log")
    style.milliseconds(axes.yaxis)
    if objective is not None:
        style.objective_line(axes, objective.seconds, objective.text)
    axes.set_title("latency, ms")
    if axes.get_legend_handles_labels()[0]:  # of few answers no percentile is known
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2)


def _unstable(
    axes: Axes, places: Sequence[float], stages: Sequence[Stage], value: Callable[[Stage], float]
) -> None:
    """A ring around what did not settle."""
    rings = [(place, value(stage)) for place, stage in zip(places, stages, strict=True) if not stage.stable]
    if rings:
        axes.plot(
            *zip(*rings, strict=True),
            linestyle="none",
            marker="o",
            markersize=10,
            markerfacecolor="none",
            color=style.INK,
            markeredgewidth=0.9,
            label="not stable",
        )
        axes.legend(loc="lower right")
