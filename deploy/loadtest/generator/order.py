"""What the generator's processes are given to do."""

import dataclasses
from collections.abc import Sequence

from deploy.loadtest.loads import OpenLoop
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.work.question import Question


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """Of a process, once.

    deadline    seconds that each request has: of an open loop from when it was due
    """

    target: Target
    questions: Sequence[Question]
    deadline: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """One load's part for one process.

    begin       time.monotonic at which the load begins
    longest     seconds after which nothing more is sent, unless it is to stop before
    seed        of the arrivals and of the mix: the same seeds, the same requests
    clients     of a closed loop, 0 for an open one
    open_loop   whose `share` this process sends; None for a closed loop
    """

    begin: float
    longest: float
    seed: Sequence[int]
    clients: int = 0
    open_loop: OpenLoop | None = None
    share: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class StopAt:
    """Nothing is sent from this time (time.monotonic) on; what was sent has its deadline."""

    time: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Abort:
    """Nothing more is sent, and what was sent is given up."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ready:
    """The process can begin."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Done:
    """Every request of the order has its record, and all records were sent."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failed:
    """The process can't go on."""

    sentence: str
