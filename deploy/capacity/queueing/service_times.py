"""What a server's parts take for an answer, as it was measured: all that the simulation knows of it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.engines.openvino import BATCHES, batch_parts

IN_FLIGHT = 16  # requests with Triton at a time, where the gateway's own limit was not measured
MAX_BATCH = 32
TURN = 0.004  # seconds: the tick of kernels with CONFIG_HZ=250
_EVEN: NDArray[np.float64] = np.ones(1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """Processor seconds of a request in a process.

    alone, busy     while all other cores are idle, and while none is
    """

    alone: float = 0.0
    busy: float = 0.0

    def __post_init__(self) -> None:
        if not all(0 <= seconds < math.inf for seconds in (self.alone, self.busy)):
            raise ValueError("a request takes 0 processor seconds or more")

    def __add__(self, other: "Work") -> "Work":
        return Work(alone=self.alone + other.alone, busy=self.busy + other.busy)

    def __mul__(self, factor: float) -> "Work":
        return Work(alone=self.alone * factor, busy=self.busy * factor)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """A step beside the engine.

    processes   that compute at a time
    share       of the requests that come to it
    work        of a request that does
    holds       whether its process is taken until the engine has answered, one request a process
    """

    name: str
    processes: int
    work: Work
    share: float = 1.0
    holds: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """The network.

    On the host's cores a batch is cut into parts (`batch_parts`); each takes `part` and `row` for each of its
    faces, one thread, as many parts at once as there are streams. On a device of its own, which is what
    `seconds` is for, it takes the seconds that were measured of a batch of this size; sizes between lie on
    the line between, larger ones go on as between the last two.
    """

    instances: int = 1
    streams: int = 1
    sizes: Sequence[int] = BATCHES
    max_batch: int = MAX_BATCH
    part: Work = Work()
    row: Work = Work()
    seconds: Mapping[int, float] = dataclasses.field(default_factory=dict)

    def parts(self, rows: int) -> list[int]:
        return batch_parts(rows, streams=self.streams, sizes=self.sizes)

    def device_seconds(self, rows: int) -> float:
        """Of a batch on the device."""
        sizes = sorted(self.seconds)
        if len(sizes) == 1 or rows <= sizes[0]:
            return self.seconds[sizes[0]]
        above = next((i for i, size in enumerate(sizes) if size >= rows), len(sizes) - 1)
        low, high = sizes[above - 1], sizes[above]
        rise = (self.seconds[high] - self.seconds[low]) / (high - low)
        return max(self.seconds[sizes[0]], self.seconds[low] + (rows - low) * rise)

    @property
    def on_device(self) -> bool:
        return bool(self.seconds)

    @property
    def rows_a_second(self) -> float:
        """At full batches, of all instances on a device; on cores of one that had them for itself."""
        if self.on_device:
            return self.instances * self.max_batch / self.device_seconds(self.max_batch)
        parts = self.parts(self.max_batch)
        return self.max_batch / (len(parts) * self.part.busy + self.max_batch * self.row.busy)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServiceTimes:
    """One server, and the requests that it gets.

    cores           of the host
    full_speed      of a core while all are busy, of its speed alone: what the processor seconds don't show
    client          of a request, in the client
    client_here     whether the clients take their time from the same cores
    gateway         one thread for all requests, half before Triton and half behind it
    triton          any number of threads
    before, behind  steps before and behind the engine, in order; those that hold come last of `before`
    rows            faces of a request, on average: each has the whole number below or above
    outside         seconds of a request that are not in all this: network, waking up; below 0 where some of
                    it goes on beside the rest
    turn            seconds that a thread has a core while others wait for it
    spread          [n] factors with mean 1: how the times of requests differ, of which each gets one
    in_flight       requests that the gateway lets be with Triton at a time
    queue_seconds   longest wait for that
    """

    cores: int
    gateway: Work
    triton: Work
    engine: Engine
    before: Sequence[Step] = ()
    behind: Sequence[Step] = ()
    rows: float = 1.0
    client: Work = Work()
    client_here: bool = False
    full_speed: float = 1.0
    turn: float = TURN
    outside: float = 0.0
    spread: NDArray[np.float64] = dataclasses.field(default_factory=lambda: _EVEN)
    in_flight: float = IN_FLIGHT
    queue_seconds: float = 0.8

    def __post_init__(self) -> None:
        if self.cores < 1 or not 0 < self.full_speed <= 1 or self.in_flight < 1:
            raise ValueError(
                "a server has 1 core or more, whose full speed is above 0 and at most 1, and lets 1 request "
                "or more be with Triton"
            )

    def with_clients_elsewhere(self) -> "ServiceTimes":
        """The same server for itself: clients still take their time, but of cores of their own."""
        return dataclasses.replace(self, client_here=False)
