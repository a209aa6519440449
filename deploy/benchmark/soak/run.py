"""One soak: clients, changes and samples at even steps of requests, in files that survive an interruption."""

import dataclasses
import json
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.benchmark.load import End, Load, Outcome, Summary
from deploy.benchmark.load.clients import MakeSender
from deploy.benchmark.soak.census import Census, Sample
from deploy.benchmark.soak.trends import SETTLE
from deploy.gateway.operation.control import ControlError
from deploy.gateway.operation.service import GatewayServer

DEADLINE = 120.0  # seconds that each request has
_QUIET_SECONDS = 60.0  # that all may take to be given back after the clients have left
_QUIET_LOOKS = 5  # equal ones, one after the other
_LOOK_SECONDS = 0.4
_TICK = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How long, and what happens meanwhile.

    requests        in all
    warm_up         of them before the first measurement without clients
    step            requests between two samples
    swap_every      requests between two changes of the repository (0: none)
    swaps           how many there are: the last Triton is to live long enough to be measured
    reload_every    requests between two readings of the keys (0: none)
    """

    requests: int
    warm_up: int = SETTLE
    step: int
    swap_every: int = 0
    swaps: int = 3
    reload_every: int = 0


class Recorder:
    """Writes samples as JSON lines, and how far the run is; what is written is there after a kill too.

    folder      of samples.jsonl and progress.json; None writes nothing
    """

    def __init__(self, folder: Path | None) -> None:
        self.samples: list[Sample] = []
        self._folder = folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "samples.jsonl").write_text("")

    def add(self, sample: Sample, outcomes: Sequence[Outcome]) -> None:
        self.samples.append(sample)
        if self._folder is None:
            return
        with (self._folder / "samples.jsonl").open("a") as file:
            file.write(json.dumps(sample.to_json()) + "\n")
        summary = Summary.of(outcomes)
        progress = {
            "requests": len(outcomes),
            "seconds": round(sample.seconds, 1),
            "requests_a_second": round(len(outcomes) / max(sample.seconds, 0.001), 2),
            "ends": {end.value: summary.ends[end] for end in End},
            "refusals": dict(summary.refusals),
            "wrong": wrong_ones(outcomes)[:20],
        }
        written = self._folder / "progress.json.new"
        written.write_text(json.dumps(progress, indent=1) + "\n")
        written.replace(self._folder / "progress.json")


def wrong_ones(outcomes: Sequence[Outcome]) -> list[str]:
    """In words those that may not be."""
    return [
        f"{outcome.end.value}: {outcome.model}: {outcome.code} {outcome.details}"
        for outcome in outcomes
        if outcome.end in (End.WRONG, End.LOST)
    ]


class Soak:
    """Runs a plan against a gateway.

    clients     senders, one a client; each is made anew after the warm-up
    change      turns the keys' file into another one, before each reading
    folder      for copies of the repository
    log         gets a sentence where something happens
    """

    def __init__(
        self,
        gateway: GatewayServer,
        clients: Sequence[MakeSender],
        *,
        plan: Plan,
        recorder: Recorder,
        folder: Path,
        change_keys: Callable[[], None] = lambda: None,
        log: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.changes: list[str] = []  # what was done, and at which request
        self.failures: list[str] = []  # of what was done
        self.cancelled = threading.Event()  # set from elsewhere, it ends the run in order
        self.seconds = 0.0
        self._began = 0.0
        self._gateway = gateway
        self._clients = clients
        self._plan = plan
        self._recorder = recorder
        self._folder = folder
        self._change_keys = change_keys
        self._log = log
        self._copied = False
        self._swaps = 0
        self._swap: threading.Thread | None = None

    def run(self) -> None:
        """Returns when all requests have ended, or those under way after `cancelled`."""
        self._began = time.monotonic()
        with Census(self._gateway.supervisor_pid) as census:
            for goal in (min(self._plan.warm_up, self._plan.requests), self._plan.requests):
                if len(self.outcomes) < goal and not self.cancelled.is_set():
                    self._phase(census, goal)
                    self._quiet(census)
            self.seconds = self._passed()

    def _passed(self) -> float:
        return time.monotonic() - self._began

    def _phase(self, census: Census, goal: int) -> None:
        earlier = list(self.outcomes)
        load = Load(self._clients, deadline=DEADLINE)
        try:
            with load:
                self._follow(load, census, goal, earlier=earlier)
        except Exception as error:  # of a client, or one that never ended: what was measured is reported
            self.failures.append(f"a client ended by a mistake: {type(error).__name__}: {error}")
            self.cancelled.set()
        if self._swap is not None:
            self._swap.join()
        self.outcomes = earlier + load.outcomes

    def _follow(self, load: Load, census: Census, goal: int, *, earlier: list[Outcome]) -> None:
        """Samples and changes at their steps, until the goal is reached."""
        plan, due = self._plan, _Due(self._plan, after=len(earlier))
        while (sent := len(earlier) + len(load.outcomes)) < goal and not self.cancelled.is_set():
            self.outcomes = earlier + load.outcomes
            if due.of(plan.step, "sample", sent):
                self._recorder.add(census.take(requests=sent, seconds=self._passed()), self.outcomes)
            if due.of(plan.reload_every, "keys", sent):
                self._do("keys read again", sent, self._reload)
            if self._swaps < plan.swaps and due.of(plan.swap_every, "swap", sent) and not self._swapping:
                self._swaps += 1
                self._swap = threading.Thread(target=self._do, args=("swap", sent, self._exchange))
                self._swap.start()
            if not load.sending:
                break
            self.cancelled.wait(_TICK)

    def _quiet(self, census: Census) -> None:
        """A sample with nobody connected, once all that is given back has been."""
        end = time.monotonic() + _QUIET_SECONDS
        looks: list[object] = []
        while time.monotonic() < end:
            sample = census.take(requests=len(self.outcomes), seconds=self._passed(), connected=False)
            looks.append([(each.pid, each.descriptors) for each in sample.processes])
            if len(looks) >= _QUIET_LOOKS and all(look == looks[-1] for look in looks[-_QUIET_LOOKS:]):
                break
            time.sleep(_LOOK_SECONDS)
        self._recorder.add(sample, self.outcomes)

    @property
    def _swapping(self) -> bool:
        return self._swap is not None and self._swap.is_alive()

    def _do(self, what: str, sent: int, happen: Callable[[], object]) -> None:
        try:
            happen()
        except ControlError as error:
            self.failures.append(f"{what} at request {sent}: {error}")
        self.changes.append(f"{what} at request {sent}")
        self._log(self.changes[-1])

    def _reload(self) -> None:
        self._change_keys()
        self._gateway.reload()

    def _exchange(self) -> None:
        """A swap to a copy of the same files, then the way back, in turn."""
        if self._copied:
            self._copied = False
            self._gateway.rollback()
            return
        copy = self._folder / "repository"
        if not copy.exists():
            served = Path(str(self._gateway.status()["repository"]))
            shutil.copytree(served, copy, symlinks=True)
        self._gateway.swap(copy)
        self._copied = True


class _Due:
    """Whether another step of requests has passed, for each of several things."""

    def __init__(self, plan: Plan, *, after: int) -> None:
        self._passed = {
            name: after // step
            for name, step in (("sample", plan.step), ("keys", plan.reload_every), ("swap", plan.swap_every))
            if step
        }

    def of(self, step: int, name: str, sent: int) -> bool:
        if not step or sent // step <= self._passed[name]:
            return False
        self._passed[name] = sent // step
        return True
