"""What a load test does, in order: a sweep, rates, a search, a soak; each stage is kept as it ends."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence

from deploy.loadtest.command.progress import ProgressLines
from deploy.loadtest.generator import GeneratorError, GeneratorPool
from deploy.loadtest.loads import ClosedLoop, Load, OpenLoop
from deploy.loadtest.objectives import Objective
from deploy.loadtest.protocols.base import OK
from deploy.loadtest.results import Search, Stage
from deploy.loadtest.search import SECTION as SEARCH
from deploy.loadtest.search import search
from deploy.loadtest.soak import SECTION as SOAK
from deploy.loadtest.soak import soak_settings, with_drift
from deploy.loadtest.stage import ServerSide, Settings, StageInterrupted, measure_stage
from deploy.loadtest.windows import Arrivals

SWEEP, RATES = "sweep", "rates"
DEFAULT_CLIENTS = (1, 2, 4, 8, 16)
# A server that answered nothing gets so long to answer a single client: until then the run goes on.
BACK_SECONDS = 5.0
INTERRUPTED = "it was interrupted"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Which loads come.

    objective   that a search looks for the rate of
    soak        minutes at `soak_load`; 0: none
    """

    clients: Sequence[int] = ()
    rates: Sequence[OpenLoop] = ()
    search: bool = False
    objective: Objective
    arrivals: str = "poisson"
    soak: float = 0.0
    soak_load: Load


class _Ended(Exception):
    """A stage ended before its time, and the server answers no more: none comes after it."""


class PlanRun:
    """A plan that is carried out; `stages`, `searches` and `ended` have what there is at any time."""

    def __init__(
        self,
        plan: Plan,
        *,
        pool: GeneratorPool,
        settings: Settings,
        server_side: ServerSide | None,
        memory: Callable[[], Mapping[str, int]] | None,
        progress: ProgressLines,
        keep: Callable[[Sequence[Stage]], None],
    ) -> None:
        """memory: reads bytes by process, where the server runs here.

        keep: is called with all stages once one more is over.
        """
        self.stages: list[Stage] = []
        self.searches: list[Search] = []
        self.ended = ""
        self.interrupted = False
        self._plan = plan
        self._pool = pool
        self._settings = settings
        self._server_side = server_side
        self._memory = memory
        self._progress = progress
        self._keep_stages = keep
        self._readings: list[Mapping[str, int]] = []

    def run(self) -> None:
        """Returns when all is measured, or when no more can be: `ended` then has why."""
        try:
            self._run()
        except _Ended as error:
            self.ended = str(error)
        except GeneratorError as error:
            self.ended = f"no more could be measured: {error}"
        except KeyboardInterrupt:
            self.ended, self.interrupted = INTERRUPTED, True

    def window(self, place: int, window: Arrivals, *, seconds: float, warming: bool) -> None:
        """A window of the stage that runs is over."""
        self._progress.window(place, window, seconds=seconds, warming=warming)
        if self._memory is not None and not warming:
            self._readings.append(self._memory())

    def _run(self) -> None:
        plan = self._plan
        for clients in plan.clients:
            self._measure(ClosedLoop(clients=clients), SWEEP)
        for load in plan.rates:
            self._measure(load, RATES)
        if plan.search:
            found = search(
                functools.partial(self._measure_for, SEARCH),
                objective=plan.objective,
                arrivals=plan.arrivals,
                seconds=self._settings.seconds,
                known=[stage for stage in self.stages if stage.section == SWEEP],
            )
            self.searches.append(found)
            self._progress.line(found.sentence)
        if plan.soak:
            self._soak()

    def _soak(self) -> None:
        settings = soak_settings(self._settings, self._plan.soak)
        try:
            self._measure(self._plan.soak_load, SOAK, settings)
        finally:
            if self.stages and self.stages[-1].section == SOAK:
                self.stages[-1] = with_drift(self.stages[-1], self._readings)

    def _measure_for(self, section: str, load: Load, seconds: float) -> Stage:
        return self._measure(load, section, dataclasses.replace(self._settings, seconds=seconds))

    def _measure(self, load: Load, section: str, settings: Settings | None = None) -> Stage:
        self._progress.begin(section, load)
        self._readings = []
        try:
            stage = measure_stage(
                self._pool,
                load,
                section=section,
                settings=settings or self._settings,
                server_side=self._server_side,
                progress=self,
            )
        except StageInterrupted as interruption:
            self._keep(interruption.stage)
            raise
        self._keep(stage)
        if stage.ended and not self._server_answers():
            raise _Ended(f"{section}, {load.name}: {stage.ended}")
        return stage

    def _server_answers(self) -> bool:
        """Whether the server is there again: one that let all requests expire was only overloaded."""
        end = time.monotonic() + BACK_SECONDS
        while self._pool.complete and time.monotonic() < end:
            _, codes = self._pool.run(ClosedLoop(clients=1), 0.5)
            if OK in codes:
                return True
        return False

    def _keep(self, stage: Stage) -> None:
        if stage.windows:
            self.stages.append(stage)
            self._progress.stage(stage)
            self._keep_stages(self.stages)
