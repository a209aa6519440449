"""The dashboard's queries as plots, in place of a picture of Grafana."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

from deploy.monitoring.panels import PANELS, Shown
from tests.deploy.served.test_live_prometheus import with_values
from tests.helpers.live_prometheus import LivePrometheus

# Row and title of the panels that are drawn.
DRAWN = (
    ("Overview", "Requests by their end"),
    ("Overview", "Time to an answer"),
    ("Refusals", "By reason"),
    ("Queue and admission", "With Triton, and how many may be"),
    ("Processes", "Ready, and with a standby"),
    ("Answers", "Farthest from the reference"),
)
_FIRING = 'max by (alertname) (ALERTS{alertstate="firing"})'
_MOST_LINES = 6
_STEP = 2  # seconds


def plot(
    prometheus: LivePrometheus, path: Path, *, phases: Sequence[tuple[str, float]], start: float, end: float
) -> None:
    """Draws the panels over a time (seconds since 1970), and below them which alerts fired; a PNG file."""
    figure, axes = plt.subplots(4, 2, figsize=(13, 14), height_ratios=(1, 1, 1, 1.4), constrained_layout=True)
    for axis, (row, title) in zip(axes[:3].flat, DRAWN, strict=True):
        (panel,) = [each for each in PANELS[row] if each.title == title]
        _draw(axis, prometheus, panel, start=start, end=end)
    for axis in axes[3]:
        axis.remove()
    timeline = figure.add_subplot(axes[0, 0].get_gridspec()[3, :])
    fired = prometheus.query_range(_FIRING, start=start, end=end, step=1)
    names = sorted(series["metric"]["alertname"] for series in fired)
    for series in fired:
        times = [float(moment) - start for moment, _ in series["values"]]
        timeline.plot(times, [names.index(series["metric"]["alertname"])] * len(times), "s", markersize=4)
    timeline.set_yticks(range(len(names)), names, fontsize=8)
    timeline.set_title("Alerts that fire", fontsize=10)
    timeline.set_ylim(-1, len(names) + 1)
    for axis in (*axes[:3].flat, timeline):
        axis.set_xlim(0, end - start)
        axis.grid(alpha=0.3)
        for _, began in phases:
            axis.axvline(began - start, color="grey", linewidth=0.8, linestyle=":")
    for name, began in phases:
        timeline.text(began - start, len(names) + 0.9, f" {name}", rotation=90, fontsize=7, va="top")
    timeline.set_xlabel("seconds")
    figure.savefig(path, dpi=72)
    plt.close(figure)


def _draw(axis: "plt.Axes", prometheus: LivePrometheus, panel: Shown, *, start: float, end: float) -> None:
    axis.set_title(f"{panel.title} ({panel.unit})" if panel.unit != "short" else panel.title, fontsize=10)
    for query in panel.queries:
        expr = with_values(query.expr).replace("[1m]", "[10s]")
        found = prometheus.query_range(expr, start=round(start), end=end, step=_STEP)
        found.sort(key=lambda series: -max(float(value) for _, value in series["values"]))
        for series in found[:_MOST_LINES]:
            label = query.legend
            for name, value in series["metric"].items():
                label = label.replace(f"{{{{{name}}}}}", value)
            values = {round(float(moment)): float(value) for moment, value in series["values"]}
            times = range(min(values), max(values) + 1, _STEP)
            drawn = [values.get(moment, float("nan")) for moment in times]  # a gap where there was nothing
            axis.plot([moment - start for moment in times], drawn, linewidth=1, label=label)
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7, loc="upper left")
