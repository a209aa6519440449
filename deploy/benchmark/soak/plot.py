"""A soak's resident memory by role as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from deploy.benchmark.soak.census import Sample
from deploy.measuring.processes import OTHER

matplotlib.use("Agg")  # no display is needed

from matplotlib import pyplot

_MIB = 2**20
_INCHES = (9.0, 6.0)


def draw(samples: Sequence[Sample], path: Path) -> None:
    """A line for each role, thin where it holds little; the suffix of the path names the format."""
    loaded = [sample for sample in samples if sample.connected and sample.tritons == 1]
    if not loaded:
        return
    requests = [sample.requests for sample in loaded]
    by_role: dict[str, list[float]] = {}
    for role in {held.role for sample in loaded for held in sample.processes} - {OTHER}:
        by_role[role] = [
            sum(held.rss for held in sample.processes if held.role == role) / _MIB for sample in loaded
        ]
    largest = max(max(line) for line in by_role.values())
    figure, axes = pyplot.subplots(figsize=_INCHES)
    for role, line in sorted(by_role.items(), key=lambda item: -item[1][-1]):
        small = max(line) < 0.03 * largest
        axes.plot(requests, line, linewidth=0.8 if small else 1.4, label=role)
    axes.set_xlabel("requests")
    axes.set_ylabel("resident memory, MiB")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7, ncol=2, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)
