"""Tables of how well a network knows how far its answers may be off (see measures beside it)."""

from collections.abc import Sequence

from training.evaluation.confidence.measures import (
    AREA,
    COVERAGE,
    KEPT,
    LEVELS,
    RANK_CORRELATION,
    RISK,
    WIDTH,
)
from training.evaluation.results import TaskResult
from training.evaluation.tables import format_estimate, markdown_table

_INTERVALS = (*(f"{COVERAGE}_{level}" for level in LEVELS), f"{WIDTH}_80", RANK_CORRELATION)
_RISKS = (*(f"{RISK}_{kept}" for kept in KEPT), AREA)


def confidence_tables(results: Sequence[TaskResult], *, comparison: str | None) -> list[str]:
    """Paragraphs of Markdown: intervals, then risk by coverage; none for results without such metrics."""
    parts = []
    if lines := _lines(results, _INTERVALS, comparison):
        heading = ("task", "set", "network", *(f"within {level} %" for level in LEVELS), "width at 80 %")
        parts += [
            "How often the truth lies in the interval of this share, how wide that of 80 % is, and how far "
            "the expected error ranks faces as the true one does (Spearman):",
            markdown_table((*heading, "rank correlation"), lines),
        ]
    if lines := _lines(results, _RISKS, comparison):
        heading = (
            "task",
            "set",
            "network",
            "error of all",
            *(f"of the surest {kept} %" for kept in KEPT[1:]),
        )
        parts += [
            "The mean error of those faces that the network is most certain of, by its expected error, or "
            "else by the probability of its answer (of points, in pixels of the crop):",
            markdown_table((*heading, "area under the curve"), lines),
        ]
    return parts


def _lines(results: Sequence[TaskResult], names: Sequence[str], comparison: str | None) -> list[list[str]]:
    """A line for each network and each result that has these metrics."""
    networks = ("this network", *((comparison,) if comparison else ()))
    return [
        [
            result.task,
            result.set_and_subset,
            network,
            *(format_estimate(result.task, name, values.get(name)) for name in names),
        ]
        for result in results
        for network, values in zip(networks, (result.values, result.comparison), strict=False)
        if any(name in values for name in names)
    ]
