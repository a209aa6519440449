"""How a request ended, as its client saw it."""

import dataclasses
import enum
import math
from collections import Counter
from collections.abc import Sequence

from qface_client.measuring.percentiles import percentile

# Seconds that a client waits past its deadline for its own library to give up.
SLACK = 1.0
# What a client's library makes up itself where the server gave no answer in time, or none that it understood.
_UNTYPED = ("DEADLINE_EXCEEDED", "UNKNOWN", "CANCELLED", "")


# What a request that has nothing wrong may be refused with: another try makes sense.
RETRYABLE = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")


class End(enum.Enum):
    """Every request has exactly one."""

    ANSWERED = "answered"  # with what was to be expected
    WRONG = "wrong"  # with an answer that is not this request's
    REFUSED = "refused"  # with a typed error, inside the deadline
    ABANDONED = "abandoned"  # by its client, on purpose, before an answer came
    LOST = "lost"  # none of these, inside the deadline


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """One request."""

    client: str
    model: str
    began: float  # when it was due: time.monotonic, one clock for all processes of a machine
    seconds: float  # until the client knew how it ended
    end: End
    code: str = "OK"  # the gRPC status by its name
    details: str = ""  # the sentence of an error
    pushback: float | None = None  # seconds that the server asks to wait before another try

    @property
    def ended(self) -> float:
        return self.began + self.seconds

    @property
    def harmed(self) -> bool:
        """Whether a request that has nothing wrong was lost, answered wrongly, or blamed for a fault."""
        return self.end in (End.WRONG, End.LOST) or (self.end is End.REFUSED and self.code not in RETRYABLE)


def end_of_error(code: str, details: str, *, seconds: float, deadline: float) -> End:
    """A status that the server sent in time is a refusal; what the client's library made up is a loss.

    UNAVAILABLE counts as typed though a connection that broke gives it too: it says that another try is safe.
    """
    if code in _UNTYPED or "RST_STREAM" in details or seconds > deadline + SLACK:
        return End.LOST
    return End.REFUSED


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """Many outcomes, counted."""

    sent: int
    ends: Counter[End]
    refusals: Counter[str]  # by status
    median: float  # seconds, of what was answered; NaN where nothing was
    p99: float
    slowest: float

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> "Summary":
        answered = [outcome.seconds for outcome in outcomes if outcome.end is End.ANSWERED]
        return cls(
            sent=len(outcomes),
            ends=Counter(outcome.end for outcome in outcomes),
            refusals=Counter(outcome.code for outcome in outcomes if outcome.end is End.REFUSED),
            median=percentile(answered, 0.5),
            p99=percentile(answered, 0.99),
            slowest=max(answered, default=math.nan),
        )

    @property
    def lost(self) -> int:
        return self.ends[End.LOST]

    def __str__(self) -> str:
        refused = ", ".join(f"{count} {code}" for code, count in self.refusals.most_common())
        return (
            f"{self.sent} sent, {self.ends[End.ANSWERED]} answered, {self.ends[End.REFUSED]} refused"
            f"{f' ({refused})' if refused else ''}, {self.ends[End.ABANDONED]} abandoned, "
            f"{self.ends[End.WRONG]} wrong, {self.lost} lost; "
            f"median {1000 * self.median:.0f} ms, p99 {1000 * self.p99:.0f} ms, "
            f"slowest {1000 * self.slowest:.0f} ms"
        )
