"""Another try where one may help, until the deadline: capped exponential backoff with full jitter.

After "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): a pause is drawn between 0 and a bound
that doubles, so that clients that were turned away together do not come back together. `budget` bounds the
tries of all calls together.
"""

import dataclasses
import random
import re
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
_NO_TOKEN = "further ones waited for this client's retry_budget until the deadline"


class Retries:
    """Sends steps, again where the server turned them away or could not be reached.

    `enabled`: False sends each step once. `connect`: seconds within which a server that has never answered
    must. `server`, `hint`: where that is, and why nothing may answer there. `budget`: what bounds the tries
    of all steps (None: the default). `clock` in seconds, `jitter` in [0, 1).
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
        self._server = server
        self._hint = hint
        self._clock = clock
        self._jitter = jitter
        self._tokens = RetryTokens(RetryBudget() if budget is None else budget, clock=clock)
        self._outage = Outage(server, clock=clock)
        self._reached = False  # whether a server has ever answered, a refusal included
        self._refusal: tuple[float, str] | None = None  # the last of any call, and when

    def once(self, step: ReadModel | Infer) -> Steps[Any]:
        """The outcome of one try, whatever the time that other calls have."""
        outcome = yield step
        self._reached = True
        self._outage.answered()
        return outcome

    def explained(self, late: RequestTimeout, *, since: float) -> RequestTimeout:
        """The same, which states the server's last refusal where it has turned a call away since then."""
        if self._refusal is None or self._refusal[0] < since:
            return late
        return with_end(late, f"meanwhile it turned requests of this client away: {self._refusal[1]}")

    def send(self, step: ReadModel | Infer, *, call_seconds: float | None = None) -> Steps[Any]:
        """The outcome of a step, whose `timeout` bounds all tries and the pauses in between.

        `call_seconds`: of the call that it is a part of, which the sentence of its RequestTimeout names.

        Where that is over, the error is the server's last refusal, or that it could not be reached, rather
        than the last try's timeout.
        """
        began = self._clock()
        deadline = began + step.timeout
        bound, tries = FIRST_PAUSE, 0
        failure: ServerBusy | ConnectError | None = None
        earlier: ServerBusy | ConnectError | None = None  # the last one of another sort
        while True:
            now = self._clock()
            left = deadline - now
            timeout = left if self._reached else min(left, began + self._connect - now)
            tries += 1
            try:
                outcome = yield dataclasses.replace(step, timeout=timeout)
            except RequestTimeout as error:
                if failure is not None:
                    end = "the last one was not answered"
                    raise self._given_up(failure, earlier, tries, began, end) from error
                if timeout < left:
                    raise self._silent() from error
                late = error if call_seconds is None else with_end(error, f"this call had {call_seconds:g} s")
                raise self.explained(late, since=began) from error.__cause__
            except (ServerBusy, ConnectError) as error:
                if isinstance(error, ServerBusy):
                    self._refusal = self._clock(), str(error)
                if not self._enabled or error.retry_after is None:
                    self._reached = self._reached or isinstance(error, ServerBusy)
                    raise
                if self._reached and isinstance(error, ConnectError):
                    self._outage.lost(error)
                self._reached = self._reached or isinstance(error, ServerBusy)
                if failure is not None and _sort(failure) != _sort(error):
                    earlier = failure
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
                raise self._given_up(failure, earlier, tries, began) from failure.__cause__
            LOG.debug("%s: try %d in %.2f s after %s", step.model, tries + 1, pause, described(failure))
            yield Pause(seconds=pause)
            if not (yield from self._tokens.take(until=until - SHORTEST_TRY)):
                raise self._given_up(failure, earlier, tries, began, _NO_TOKEN) from failure.__cause__
            further_try(step.model)
            bound = min(2 * bound, LONGEST_PAUSE)

    def _pause(self, failure: ServerBusy | ConnectError, *, bound: float, left: float) -> float | None:
        """Seconds until the next try; None where the time that is left has no room for one."""
        least = failure.retry_after or 0.0
        # Never more than half of what is left, so that a long pause does not give away the end.
        pause = max(least, min(least + self._jitter() * bound, left / 2))
        return pause if left - pause >= SHORTEST_TRY else None

    def _silent(self) -> ConnectError:
        at = f" at {self._server}" if self._server else ""
        return ConnectError(
            f"no server{at} has answered within {self._connect:g} s: check the address, and "
            "that its server runs and can be reached from here (`qface doctor` finds what is in the way, "
            f"`make serve` starts a server on this machine){self._hint}",
            retry_after=0.0,
        )

    def _given_up(
        self,
        failure: ServerBusy | ConnectError,
        earlier: ServerBusy | ConnectError | None,
        tries: int,
        began: float,
        end: str = "",
    ) -> ServerBusy | ConnectError:
        """The last failure, with how often and how long the step was tried, and how it failed before."""
        if tries == 1 and not end:
            return failure
        times = "1 try" if tries == 1 else f"{tries} tries"
        parts = [f"{times} in {self._clock() - began:.1f} s", end]
        if earlier is not None and _sort(earlier) != _sort(failure):
            parts.append(f"an earlier one: {earlier}")
        return with_end(failure, "; ".join(part for part in parts if part))


def _sort(failure: QFaceError) -> tuple[type[QFaceError], str]:
    """What failures have in common that say the same: refusals their status, all else its words."""
    if isinstance(failure, ServerBusy) and failure.status:
        return type(failure), failure.status
    return type(failure), re.sub(r"[0-9]+", "", str(failure))
