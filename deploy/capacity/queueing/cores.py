"""Cores that all share: each job is one thread, and the cores are given to the threads in turns."""

import collections
import dataclasses

import simpy


@dataclasses.dataclass(slots=True)
class _Job:
    left: float  # processor seconds
    done: simpy.Event


class Cores:
    """Round robin, as a scheduler's ticks come to: who has had `turn` seconds gives way to who waits.

    turn          seconds; short work that finds all cores busy waits for the end of a turn
    full_speed    of a core while all are busy (caches, clocks and the scheduler take the rest); alone it is 1
    """

    def __init__(
        self, environment: simpy.Environment, count: int, *, turn: float, full_speed: float = 1.0
    ) -> None:
        self._environment = environment
        self.count = count
        self._turn = turn
        self._full_speed = full_speed
        self._running = 0
        self._ready: collections.deque[_Job] = collections.deque()
        self.busy_seconds = 0.0  # of all cores together

    def work(self, alone: float, busy: float) -> simpy.Event:
        """Ends when a thread has had its processor seconds: `alone` of idle cores, `busy` of busy ones.

        In between (some cores are idle as it begins) it takes what lies between.
        """
        idle = max(0.0, 1 - (self._running + len(self._ready)) / self.count)
        job = _Job(busy + (alone - busy) * idle, self._environment.event())
        if not job.left:
            job.done.succeed()  # nothing to do waits for no core
        elif self._running < self.count:
            self._running += 1
            self._run(job)
        else:
            self._ready.append(job)
        return job.done

    def _run(self, job: _Job) -> None:
        """A turn of it on a core that was made free for it."""
        others = (self._running - 1) / (self.count - 1) if self.count > 1 else 1.0
        speed = 1 - (1 - self._full_speed) * others
        seconds = min(job.left / speed, self._turn)
        job.left -= seconds * speed
        turn = self._environment.timeout(seconds)
        assert turn.callbacks is not None
        turn.callbacks.append(lambda _: self._end(job, seconds))

    def _end(self, job: _Job, seconds: float) -> None:
        self.busy_seconds += seconds
        if job.left > 1e-12:
            self._ready.append(job)
        else:
            job.done.succeed()
        if self._ready:
            self._run(self._ready.popleft())
        else:
            self._running -= 1
