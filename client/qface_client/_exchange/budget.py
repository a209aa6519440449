"""How many retries a client may send, all its calls together: a token bucket at which retries queue.

After Finagle's RetryBudget (10 a second and a share of the requests; Oliver, "Retry Budgets", 2016) and
gRPC's retry throttling (proposal A6): a retry takes a token, time and answers bring new ones. Without a token
both refuse a retry, as the SRE book does ("Handling Overload"); here it waits for one, until its call's
deadline. So a server that is down gets a steady trickle from a client with however many threads, and no call
is lost for it. A token for each answer, where Finagle gives one for five requests: a server that answers as
many requests as it can take gets the next one for each that it has answered, as TCP is clocked by its
acknowledgements. With a fifth, waiting calls would be answered at 12 a second, however fast the server is.
"""

import collections
import dataclasses
import math
import threading
import time
from collections.abc import Callable

from .steps import Pause, Steps

# A retry that waits looks this often whether answers have brought its token early.
_LOOK_SECONDS = 0.1
_SHORTEST_WAIT = 0.001  # a clock need not move by less


@dataclasses.dataclass(frozen=True, kw_only=True)
class RetryBudget:
    """Bounds the retries of a client over all its calls; those beyond wait, they are not given up.

    In any time, at most `burst + per_second * seconds + per_answer * answers` retries are sent. First tries
    are not counted.
    """

    per_second: float = 10.0  # retries, whether or not the server answers; infinite: no bound
    per_answer: float = 1.0  # further ones for each request that the server has answered
    burst: float = 100.0  # the most that are saved up, and what a client begins with

    def __post_init__(self) -> None:
        if not self.per_second > 0:
            raise ValueError(
                f"per_second is a number above 0, else waiting never ends, not {self.per_second}"
            )
        for name, value in (("per_answer", self.per_answer), ("burst", self.burst)):
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is a finite number of 0 or more, not {value}")


class _Ticket:
    """A retry's place in the queue."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.granted = False


class RetryTokens:
    """The tokens of one client, for all its threads or coroutines: first come, first served."""

    def __init__(self, budget: RetryBudget, *, clock: Callable[[], float] = time.monotonic) -> None:
        if not isinstance(budget, RetryBudget):
            raise TypeError(f"retry_budget is a RetryBudget, not {budget!r}")
        self._budget = budget
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens = budget.burst
        self._counted_at = clock()
        self._waiting = collections.deque[_Ticket]()
        self._asked = 0

    def answered(self) -> None:
        """The server has answered a request."""
        if not self._unbounded:
            with self._lock:
                self._count(further=self._budget.per_answer)

    def take(self, *, until: float) -> Steps[bool]:
        """Wait for a token; False where none has come by then (a time of the clock)."""
        if self._unbounded:
            return True
        with self._lock:
            self._asked += 1
            ticket = _Ticket(self._asked)
            self._waiting.append(ticket)
        used = False
        try:
            while (wait := self._wait(ticket)) > 0:
                left = until - self._clock()
                if left <= 0:
                    return False
                yield Pause(seconds=max(min(wait, left, _LOOK_SECONDS), _SHORTEST_WAIT))
            used = True
            return True
        finally:
            if not used:  # given up, or its call was cancelled
                self._leave(ticket)

    @property
    def _unbounded(self) -> bool:
        return math.isinf(self._budget.per_second)

    def _wait(self, ticket: _Ticket) -> float:
        """Seconds until it is granted where no answer comes earlier; 0.0: it is."""
        with self._lock:
            self._count()
            if ticket.granted:
                return 0.0
            before = ticket.number - self._waiting[0].number
            return (before + 1 - self._tokens) / self._budget.per_second

    def _leave(self, ticket: _Ticket) -> None:
        with self._lock:
            if ticket.granted:
                self._count(further=1.0)
            else:
                self._waiting.remove(ticket)

    def _count(self, *, further: float = 0.0) -> None:
        """Add the tokens that have come, and give them to those who have waited longest."""
        now = self._clock()
        tokens = self._tokens + further + (now - self._counted_at) * self._budget.per_second
        self._counted_at = now
        while self._waiting and tokens >= 1:
            self._waiting.popleft().granted = True
            tokens -= 1
        # Where somebody waits it is less than one, which is not saved up but on its way to them.
        self._tokens = tokens if self._waiting else min(tokens, self._budget.burst)
