"""A soak's samples as Markdown tables: of each process and of all together what they held, and its trend."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence

from deploy.benchmark.soak.census import Held, Sample
from deploy.benchmark.soak.trends import HORIZON, PER, SETTLE, TOLERATED, Point, Trend, Verdict, trend
from deploy.measuring.processes import OTHER, TRITON

ALL = "all"  # in place of a role
_MIB = 2**20
# Processes without Triton's first, then Triton, then the models.
_FIRST = ("supervisor", "main process", "front process", "guard", TRITON)
RULE = (
    f"Per {PER:,} requests, with a 95 % interval (Theil-Sen, moving-block bootstrap), without the first "
    f"{SETTLE} requests of each process. A series grows if the whole interval is above 0 and the slope "
    f"comes to {TOLERATED:.0%} of the start or more over {HORIZON:,} requests; "
    "it settles if it does not in the second half of the longest life of a process."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """One measured quantity of one role, or of all processes together."""

    role: str
    what: str
    trend: Trend
    scale: float = 1.0  # of the numbers in the table


Measure = Callable[[Held], float]
_MEASURES: Sequence[tuple[str, Measure, float]] = (
    ("RSS, MiB", lambda held: held.rss, _MIB),
    ("USS, MiB", lambda held: held.uss, _MIB),
    ("descriptors", lambda held: held.descriptors, 1),
    ("threads", lambda held: held.threads, 1),
)
_TOTALS: Sequence[tuple[str, Callable[[Sample], float], float]] = (
    ("PSS, MiB", lambda sample: sum(held.pss for held in sample.processes), _MIB),
    ("/dev/shm, MiB", lambda sample: sample.region_bytes, _MIB),
    ("/dev/shm regions", lambda sample: sample.regions, 1),
    ("processes", lambda sample: len(sample.processes), 1),
    ("descriptors", lambda sample: sum(held.descriptors for held in sample.processes), 1),
    ("threads", lambda sample: sum(held.threads for held in sample.processes), 1),
)


def series_of(samples: Sequence[Sample], *, settle: int = SETTLE) -> list[Series]:
    """All series of samples under load; what was taken during a swap is left out of the totals."""
    loaded = [sample for sample in samples if sample.connected]
    found = []
    for role in _roles(loaded):
        for what, measure, scale in _MEASURES:
            points = [
                Point(requests=sample.requests, value=measure(held), life=(held.pid, held.started))
                for sample in loaded
                for held in sample.processes
                if held.role == role
            ]
            found.append(Series(role=role, what=what, trend=trend(points, settle=settle), scale=scale))
    settled = [sample for sample in loaded if sample.tritons == 1]
    for what, total, scale in _TOTALS:
        points = [
            Point(requests=sample.requests, value=total(sample), life=_triton(sample)) for sample in settled
        ]
        found.append(Series(role=ALL, what=what, trend=trend(points, settle=settle), scale=scale))
    return found


def _roles(samples: Iterable[Sample]) -> list[str]:
    roles = {held.role for sample in samples for held in sample.processes} - {OTHER}
    return sorted(roles, key=lambda role: (_FIRST.index(role) if role in _FIRST else len(_FIRST), role))


def _triton(sample: Sample) -> tuple[int, int]:
    return next((held.pid, held.started) for held in sample.processes if held.role == TRITON)


def memory_table(series: Sequence[Series]) -> str:
    """Markdown: RSS and USS of each role, in MiB."""
    lines = [
        "| MiB | RSS: start | end | slope | 95 % interval | verdict | USS: start | end | slope | verdict |",
        "|---|---:|---:|---:|---:|---|---:|---:|---:|---|",
    ]
    for role, (rss, uss) in _by_role(series, "RSS, MiB", "USS, MiB").items():
        lines.append(f"| {role} | {_cells(rss)} | {_cells(uss, interval=False)} |")
    return "\n".join(lines)


def count_table(series: Sequence[Series]) -> str:
    """Markdown: descriptors and threads of each role."""
    lines = [
        "| process | descriptors: start | end | slope | verdict | threads: start | end | slope | verdict |",
        "|---|---:|---:|---:|---|---:|---:|---:|---|",
    ]
    for role, counts in _by_role(series, "descriptors", "threads").items():
        cells = " | ".join(_cells(each, interval=False) for each in counts)
        lines.append(f"| {role} | {cells} |")
    return "\n".join(lines)


def total_table(series: Sequence[Series]) -> str:
    """Markdown: what all processes hold together."""
    lines = [
        "| all together | start | end | slope | 95 % interval | verdict |",
        "|---|---:|---:|---:|---:|---|",
    ]
    lines += [f"| {each.what} | {_cells(each)} |" for each in series if each.role == ALL]
    return "\n".join(lines)


def quiet_table(samples: Sequence[Sample]) -> str:
    """Markdown: what all held while nobody was connected, after the warm-up and at the end."""
    quiet = [sample for sample in samples if not sample.connected]
    names = ["after the warm-up", "at the end"][: len(quiet)]
    lines = [f"| without clients | {' | '.join(names)} |", "|---|" + "---:|" * len(names)]
    for what, total, scale in _TOTALS:
        lines.append(f"| {what} | {' | '.join(_number(total(sample), scale) for sample in quiet[:2])} |")
    return "\n".join(lines)


def growing(series: Iterable[Series]) -> list[Series]:
    """Those that grow."""
    return [each for each in series if each.trend.verdict is Verdict.GROWS]


def _by_role(series: Iterable[Series], *whats: str) -> dict[str, list[Series]]:
    by_role: dict[str, dict[str, Series]] = {}
    for each in series:
        if each.role != ALL:
            by_role.setdefault(each.role, {})[each.what] = each
    return {role: [found[what] for what in whats] for role, found in by_role.items()}


def _cells(each: Series, *, interval: bool = True) -> str:
    one, scale = each.trend, each.scale
    cells = [_number(one.start, scale), _number(one.end, scale), _signed(one.slope / scale)]
    if interval:
        cells.append(f"{_signed(one.low / scale)} to {_signed(one.high / scale)}")
    return " | ".join([*cells, one.verdict.value])


def _number(value: float, scale: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value / scale:.1f}" if scale != 1 else f"{value:g}"


def _signed(value: float) -> str:
    if math.isnan(value):
        return ""
    return "0" if value == 0 else f"{value:+.3f}"
