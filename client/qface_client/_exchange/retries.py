"""Another try where one may help, until the deadline: capped exponential backoff with full jitter.

After "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): a pause is drawn between 0 and a bound
that doubles, so that clients that were turned away together do not come back together. `budget` bounds the
tries of all calls together.
"""

import dataclasses
import random
import time
from collections.abc import Callable
from typing import Any

from .._telemetry import LOG, described, further_try
from ..errors import ConnectError, QFaceError, RequestTimeout, ServerBusy, with_end
from .budget import RetryBudget, RetryTokens
from .outage import Outage
from .steps import Infer, Pause, ReadModel, Steps

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds; the bound of the first pause, and of all
# How long a server that has never answered is looked for where connections fail: a wrong address shows early.
FIRST_CONTACT = 1.0
# A try with less time than this before the deadline is not begun.
SHORTEST_TRY = 0.05
_NO_TOKEN = ", then none was left of this client's retry_budget"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Timeout:
    """Seconds until a call gives up.

    `request` bounds a whole call: retries, re-reading the contract and all chunks included. `connect`
    bounds the time until a server answers for the first time, so that a wrong address shows early.
    """

    request: float = 60.0
    connect: float = 10.0

    def __post_init__(self) -> None:
        for name, seconds in (("request", self.request), ("connect", self.connect)):
            if not 0 < seconds < float("inf"):
                raise ValueError(f"{name} is a finite number of seconds above 0, not {seconds}")


def as_timeout(timeout: Timeout | float | None) -> Timeout:
    """A Timeout from what a caller may give."""
    if isinstance(timeout, Timeout):
        return timeout
    return Timeout() if timeout is None else Timeout(request=float(timeout))


class Retries:
    """Sends steps, again where the server turned them away or could not be reached.

    `enabled`: False sends each step once. `connect`: seconds within which a server that has never answered
    must. `hint`: why nothing may answer at the address. `budget`: what bounds the tries of all steps (None:
    the default). `server`: its address, for the log. `clock` in seconds, `jitter` in [0, 1).
    """

    def __init__(
        self,
        *,
        enabled: bool,
        connect: float,
        hint: str = "",
        budget: RetryBudget | None = None,
        server: str = "",
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._enabled = enabled
        self._connect = connect
        self._hint = hint
        self._clock = clock
        self._jitter = jitter
        self._tokens = RetryTokens(RetryBudget() if budget is None else budget, clock=clock)
        self._outage = Outage(server, clock=clock)
        self._reached = False  # whether a server has ever answered, a refusal included

    def send(self, step: ReadModel | Infer) -> Steps[Any]:
        """The outcome of a step, whose `timeout` bounds all tries and the pauses in between.

        Where that is over, the error is the server's last refusal, or that it could not be reached, rather
        than the last try's timeout.
        """
        began = self._clock()
        deadline = began + step.timeout
        bound, tries = FIRST_PAUSE, 0
        failure: ServerBusy | ConnectError | None = None
        while True:
            now = self._clock()
            left = deadline - now
            timeout = left if self._reached else min(left, began + self._connect - now)
            tries += 1
            try:
                outcome = yield dataclasses.replace(step, timeout=timeout)
            except RequestTimeout as error:
                if failure is not None:
                    raise self._given_up(failure, tries, began, ", the last one unanswered") from error
                if timeout < left:
                    raise ConnectError(
                        f"no server has answered within {self._connect:g} s: check the address, and that "
                        f"one runs (`make serve` starts one){self._hint}",
                        retry_after=0.0,
                    ) from error
                raise
            except (ServerBusy, ConnectError) as error:
                if not self._enabled or error.retry_after is None:
                    self._reached = self._reached or isinstance(error, ServerBusy)
                    raise
                if self._reached and isinstance(error, ConnectError):
                    self._outage.lost(error)
                self._reached = self._reached or isinstance(error, ServerBusy)
                failure = error
            except QFaceError:
                self._reached = True
                raise
            else:
                self._reached = True
                self._outage.answered()
                self._tokens.answered()
                return outcome

            until = deadline if self._reached else min(deadline, began + min(FIRST_CONTACT, self._connect))
            pause = self._pause(failure, bound=bound, left=until - self._clock())
            if pause is None:
                raise self._given_up(failure, tries, began) from failure.__cause__
            LOG.debug("%s: try %d in %.2f s after %s", step.model, tries + 1, pause, described(failure))
            yield Pause(seconds=pause)
            if not (yield from self._tokens.take(until=until - SHORTEST_TRY)):
                raise self._given_up(failure, tries, began, _NO_TOKEN) from failure.__cause__
            further_try(step.model)
            bound = min(2 * bound, LONGEST_PAUSE)

    def _pause(self, failure: ServerBusy | ConnectError, *, bound: float, left: float) -> float | None:
        """Seconds until the next try; None where the time that is left has no room for one."""
        least = failure.retry_after or 0.0
        # Never more than half of what is left, so that a long pause does not give away the end.
        pause = max(least, min(least + self._jitter() * bound, left / 2))
        return pause if left - pause >= SHORTEST_TRY else None

    def _given_up(
        self, failure: ServerBusy | ConnectError, tries: int, began: float, end: str = ""
    ) -> ServerBusy | ConnectError:
        """The last failure, with how often and how long the step was tried."""
        if tries == 1 and not end:
            return failure
        times = "1 try" if tries == 1 else f"{tries} tries"
        return with_end(failure, f"{times} in {self._clock() - began:.1f} s{end}")
