"""What a client's retry budget does, simulated: many calls at once, a server that takes a few at a time.

python -m deploy.benchmark.retry_budget

The retries are the client's own code, by a clock of the simulation's; a round trip takes 2 ms.
"""

import dataclasses
import heapq
import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

from qface_client import QFaceError, RetryBudget, ServerBusy
from qface_client._exchange.retries import Retries
from qface_client._exchange.steps import Pause, ReadModel

ROUND_TRIP = 0.002


class Server:
    """Takes a number of requests at a time, which may change with the time; it turns the others away.

    `seconds` a request; `pushback`: the pause in seconds that it names to those.
    """

    def __init__(self, at_a_time: Callable[[float], int], *, seconds: float, pushback: float = 0.0) -> None:
        self._at_a_time = at_a_time
        self._seconds = seconds
        self.refusal: QFaceError = ServerBusy("full", retry_after=pushback)
        self._ends: list[float] = []
        self.requests = 0

    def ask(self, now: float) -> tuple[float, Any]:
        """When it answers a request that comes now, and what: an error, or "answer"."""
        self.requests += 1
        self._ends = [end for end in self._ends if end > now]
        if len(self._ends) >= self._at_a_time(now):
            return now + ROUND_TRIP, self.refusal
        self._ends.append(now + self._seconds)
        return now + self._seconds, "answer"


@dataclasses.dataclass(kw_only=True)
class Outcome:
    """What became of the calls: when they were answered, in seconds, and the others' errors."""

    answered_at: list[float] = dataclasses.field(default_factory=list)
    errors: list[QFaceError] = dataclasses.field(default_factory=list)
    ended_at: float = 0.0


def simulate(server: Server, budget: RetryBudget | None, *, calls: int, timeout: float = 60.0) -> Outcome:
    """That many calls of one client that begin at the same time."""
    now, outcome = 0.0, Outcome()
    retries = Retries(
        enabled=True, connect=10.0, budget=budget, clock=lambda: now, jitter=random.Random(1).random
    )
    order = itertools.count()
    step = ReadModel(model="m", timeout=timeout)
    due: list[tuple[float, int, Any, Any]] = [(0.0, next(order), None, None) for _ in range(calls)]
    while due:
        now, _, steps, result = heapq.heappop(due)
        outcome.ended_at = now
        try:
            if steps is None:
                steps = retries.send(step)
                wanted = next(steps)
            elif isinstance(result, Exception):
                wanted = steps.throw(result)
            else:
                wanted = steps.send(result)
        except StopIteration:
            outcome.answered_at.append(now)
        except QFaceError as error:
            outcome.errors.append(error)
        else:
            at, result = (now + wanted.seconds, None) if isinstance(wanted, Pause) else server.ask(now)
            heapq.heappush(due, (at, next(order), steps, result))
    return outcome


def main() -> None:
    budgets = {
        "the default": RetryBudget(),
        "a fifth of the answers": RetryBudget(per_answer=0.2),
        "none": RetryBudget(per_second=math.inf),
    }
    print("| calls | at a time | s each | least s | budget | answered | last after s | requests |")
    print("|---:|---:|---:|---:|---|---:|---:|---:|")
    for calls, at_a_time, seconds in ((150, 8, 0.2), (150, 2, 0.2), (1000, 32, 0.05), (500, 0, 0.2)):
        for name, budget in budgets.items():
            server = Server(lambda now, most=at_a_time: most, seconds=seconds, pushback=0.2)  # type: ignore[misc]
            outcome = simulate(server, budget, calls=calls)
            least = f"{calls * seconds / at_a_time:.1f}" if at_a_time else ""
            row: Sequence[object] = (
                calls, at_a_time, seconds, least, name, len(outcome.answered_at),
                f"{max(outcome.answered_at, default=math.nan):.1f}", server.requests,
            )  # fmt: skip
            print("|", " | ".join(map(str, row)), "|")


if __name__ == "__main__":
    main()
