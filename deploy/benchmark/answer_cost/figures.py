"""What rows say of each other: what the gateway adds, what more tasks cost, how a loaded server answers."""

import dataclasses
import operator
import statistics
from collections.abc import Callable, Sequence

from deploy.benchmark.answer_cost import rows
from deploy.benchmark.answer_cost.results import Row, Run
from deploy.benchmark.answer_cost.rows import ServedRow

_ENGINE = "face_engine"  # the process of an engine on the CPU; a GPU's runs inside of tritonserver


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figure:
    """A quantity of a run, one number a round."""

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)


def figures(run: Run) -> list[Figure]:
    """Those whose rows were measured."""
    measured = {row.name: row for row in run.rows}
    found: list[Figure] = []

    def add(
        name: str,
        of: str,
        beside: str,
        value: Callable[[Row], Sequence[float]],
        other: Callable[[Row], Sequence[float]],
        combine: Callable[[float, float], float] = operator.truediv,
    ) -> None:
        if of in measured and beside in measured:
            pairs = zip(value(measured[of]), other(measured[beside]), strict=True)
            found.append(Figure(name=name, values=tuple(combine(a, b) for a, b in pairs)))

    core_ms = operator.attrgetter("core_ms")
    for request in (rows.CROP, rows.FACE, rows.PHOTO):
        many, alone = (_name(request, clients=clients) for clients in (rows.MANY, 1))
        direct = _name(request, clients=rows.MANY, way=rows.DIRECT)
        loaded = ServedRow(request=request, clients=rows.MANY, load=rows.LOAD).name
        add(f"{request}: the gateway adds, core-ms", many, direct, core_ms, core_ms, operator.sub)
        add(
            f"{request}: p99 at {rows.LOAD:.0%} of capacity over p50 unloaded",
            *(loaded, alone),
            operator.attrgetter("p99_ms"),
            operator.attrgetter("p50_ms"),
        )
        if many in measured and _ENGINE in measured[many].parts:
            add(
                f"{request}: the served engine's core-ms a face over the bare one's",
                *(many, run.denominator().name),
                lambda row: row.parts[_ENGINE],
                core_ms,
            )
    all_tasks, one_task = (_name(request, clients=rows.MANY) for request in (rows.FACE, rows.ONE_TASK))
    add("all tasks of a face over one task, core-ms", all_tasks, one_task, core_ms, core_ms)
    add(
        "a photo in process over MediaPipe's landmarker, core-ms",
        rows.IN_PROCESS,
        rows.MEDIAPIPE,
        core_ms,
        core_ms,
    )
    return found


def table(found: Sequence[Figure]) -> str:
    """Markdown: the median of the rounds, the least and the most."""
    lines = ["| | median | rounds |", "|---|---:|---:|"]
    lines += [
        f"| {each.name} | {each.median:.2f} | {min(each.values):.2f} to {max(each.values):.2f} |"
        for each in found
    ]
    return "\n".join(lines)


def _name(request: str, *, clients: int, way: str = rows.GATEWAY) -> str:
    return ServedRow(request=request, clients=clients, way=way).name
