"""One round: callers by each way of balancing go on while something happens to one of the services."""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence

from deploy.benchmark.load import End, Load, Outcome
from deploy.benchmark.several_services.faults import Fault
from deploy.benchmark.several_services.service import Service
from deploy.benchmark.several_services.traffic import Requests, Way, callers, rest_caller, sort
from qface_client.measuring.percentiles import percentile

DEADLINE = 60.0  # seconds of a call, all its tries included: FaceClient's own default
_PAUSE = 0.05  # seconds of a caller between an answer and its next request
_ANSWERS = 40  # of all ways, before what happens and after it
_OURS, _PLAIN = 3, 1  # callers by each way
_HEADER = (
    "| what happened | balanced by | sent | right | wrong | lost | median | slowest "
    "| sent once: sent | lost | answered by each | seconds |"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Count:
    """How the requests of one sort of callers ended."""

    sent: int
    right: int
    wrong: int
    median: float  # seconds
    slowest: float

    @property
    def lost(self) -> int:
        """Those of which the caller got an error."""
        return self.sent - self.right - self.wrong

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "Count":
        ends = [outcome.end for outcome in outcomes]
        seconds = [outcome.seconds for outcome in outcomes]
        return cls(
            sent=len(ends),
            right=ends.count(End.ANSWERED),
            wrong=ends.count(End.WRONG),
            median=percentile(seconds, 0.5),
            slowest=max(seconds, default=math.nan),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What one way of balancing made of a round."""

    fault: str
    way: str
    ours: Count
    plain: Count
    shares: Sequence[int]  # requests that each service answered
    seconds: float
    errors: Sequence[str] = ()  # of ours that were lost or wrong, and of the plain ones that were wrong

    @property
    def bad(self) -> bool:
        return bool(self.ours.lost or self.ours.wrong or self.plain.wrong or not self.ours.right)


def run(fault: Fault, services: Sequence[Service], ways: Sequence[Way], requests: Requests) -> list[Row]:
    """`fault` comes once callers by all ways are answered, and they go on after it."""
    before = [service.answered() for service in services]
    senders = [
        sender
        for way in ways
        for sender in (
            [rest_caller(way, requests)]
            if way.rest
            else callers(way, requests.all, ours=_OURS, plain=_PLAIN, deadline=DEADLINE)
        )
    ]
    with Load(senders, deadline=DEADLINE, pause=_PAUSE) as load:
        load.wait_for(_ANSWERS)
        fault.happen(services)
        load.wait_for(_ANSWERS)
    seconds = max(each.ended for each in load.outcomes) - min(each.began for each in load.outcomes)
    counted = [service.answered() - count for service, count in zip(services, before, strict=True)]
    return [_row(fault, way, load.outcomes, counted, seconds=seconds) for way in ways]


def _row(
    fault: Fault, way: Way, outcomes: Sequence[Outcome], counted: Sequence[Counter[str]], *, seconds: float
) -> Row:
    ours = [each for each in outcomes if each.model == sort(way, retries=True)]
    plain = [each for each in outcomes if each.model == sort(way, retries=False)]
    harmed = [each for each in ours if each.end is not End.ANSWERED]
    harmed += [each for each in plain if each.end is End.WRONG]
    return Row(
        fault=fault.name,
        way=way.name,
        ours=Count.of(ours),
        plain=Count.of(plain),
        shares=[count[way.key_name] for count in counted],
        seconds=seconds,
        errors=[f"{each.code}: {each.details}" for each in harmed],
    )


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    lines = [_HEADER, "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|"]
    for row in rows:
        shares = " / ".join(map(str, row.shares))
        lines.append(
            f"| {row.fault} | {row.way} | {row.ours.sent} | {row.ours.right} | {row.ours.wrong} "
            f"| {row.ours.lost} | {1000 * row.ours.median:.0f} ms | {row.ours.slowest:.1f} s "
            f"| {row.plain.sent or ''} | {row.plain.lost if row.plain.sent else ''} "
            f"| {shares} | {row.seconds:.0f} |"
        )
    return "\n".join(lines)
