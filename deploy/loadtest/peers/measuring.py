"""All tools on the same work, each beside our own load of the same form."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from deploy.loadtest.generator import GeneratorError, GeneratorPool
from deploy.loadtest.loads import ClosedLoop, Load
from deploy.loadtest.peers.loadgen import LoadGen
from deploy.loadtest.peers.locust_rest import Locust
from deploy.loadtest.peers.outcome import Outcome
from deploy.loadtest.peers.perf_analyzer import PerfAnalyzer
from deploy.loadtest.peers.rounds import Ours, compare
from deploy.loadtest.peers.tool import Plan, Tool, ToolError
from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.results import PEERS, Stage
from deploy.loadtest.stage import Settings, StageInterrupted, measure_stage
from deploy.loadtest.work.mix import Entry
from deploy.loadtest.work.options import WorkOptions
from deploy.loadtest.work.question import Question

TOOLS: Mapping[str, Tool] = {"perf-analyzer": PerfAnalyzer(), "loadgen": LoadGen(), "locust": Locust()}
SECONDS, ROUNDS = 6.0, 3
SLO = 0.2  # seconds, of LoadGen's Server scenario where no objective was given
DEADLINE = 30.0  # seconds
GRPC, REST = "grpc", "rest"
KINDS = ("photo", "face", "crop")
WINDOWS = 3  # of each measurement, as perf_analyzer has
SPREAD = 0.1
PROBE_CLIENTS = 4
DESCRIBE_SECONDS = 20.0


def peers_work(options: WorkOptions) -> WorkOptions:
    """Every kind of question that Q-Face answers, where no work was chosen."""
    if options != WorkOptions():
        return options
    return dataclasses.replace(options, mix=tuple(Entry.parse(f"{kind}=1") for kind in KINDS))


def measure_peers(
    questions: Sequence[Question],
    *,
    targets: Mapping[str, Target],
    tools: Sequence[str] | None = None,
    seconds: float = SECONDS,
    rounds: int | None = None,
    slo: float = SLO,
    deadline: float = DEADLINE,
    progress: Callable[[str], None] = print,
) -> Outcome:
    """Runs tools against one server, each load and ours in turns.

    questions   the mix; those of a kind are sent as often as each other, a kind at a time
    targets     by protocol; a tool of a protocol that is not among them is not measured
    tools       keys of TOOLS; None: all
    rounds      of each load; None: ROUNDS
    progress    gets a line before and after each load

    Raises ConnectionError where the server does not describe itself. A tool that fails is a sentence of the
    outcome; the others go on. Ctrl-C ends it with what was measured.
    """
    outcome = Outcome()
    with _pools(targets, deadline=deadline) as pool_of:
        ours = _Ours(pool_of, seconds=seconds)
        try:
            plan = _plan(questions, targets[GRPC], ours, seconds=seconds, slo=slo, deadline=deadline)
            for name in TOOLS if tools is None else tools:
                _measure_tool(TOOLS[name], name, plan, targets, ours, rounds or ROUNDS, outcome, progress)
        except (KeyboardInterrupt, StageInterrupted):
            outcome.interrupted = True
    return outcome


def _measure_tool(
    tool: Tool,
    name: str,
    plan: Plan,
    targets: Mapping[str, Target],
    ours: "_Ours",
    rounds: int,
    outcome: Outcome,
    progress: Callable[[str], None],
) -> None:
    try:
        version = tool.version()
        forms = tool.forms(plan)
    except ToolError as error:
        outcome.not_measured.append(f"{name}: {error}")
        progress(outcome.not_measured[-1])
        return
    for form in forms:
        words = f"{version}, {form.scenario}, {form.load.name} of {form.kind}"
        progress(f"{words}: {rounds} times {plan.seconds:g} s, ours in turns")
        try:
            if form.protocol not in targets:
                raise ToolError(
                    f"the server's address for {form.protocol} was not given: add --{form.protocol}-url"
                )
            compared = compare(
                tool,
                form,
                version=version,
                target=targets[form.protocol],
                plan=plan,
                ours=ours.over(form.protocol),
                rounds=rounds,
            )
        except (ToolError, GeneratorError) as error:
            outcome.not_measured.append(f"{words}: {error}")
            progress(outcome.not_measured[-1])
            continue
        outcome.peers.append(compared.peer)
        outcome.stages.extend(compared.stages)


def _plan(
    questions: Sequence[Question],
    target: Target,
    ours: "_Ours",
    *,
    seconds: float,
    slo: float,
    deadline: float,
) -> Plan:
    """What each tool is run with; the rates of open loops are shares of what a short closed loop gave."""
    kinds: dict[str, list[Question]] = {}
    for question in questions:
        kinds.setdefault(question.kind, []).append(dataclasses.replace(question, share=1.0))
    models = doors[GRPC].describe(target, timeout=DESCRIBE_SECONDS)["models"]
    probe = ours.over(GRPC)
    rates = {kind: probe(asked, ClosedLoop(clients=PROBE_CLIENTS)).rate for kind, asked in kinds.items()}
    return Plan(
        questions=kinds,
        outputs={name: [output["name"] for output in model["outputs"]] for name, model in models.items()},
        batched={name: model["max_batch_size"] > 0 for name, model in models.items()},
        rates=rates,
        seconds=seconds,
        slo=slo,
        deadline=deadline,
    )


class _Ours:
    """Our own generator's loads, as long as the tools'."""

    def __init__(
        self, pool_of: Callable[[str, Sequence[Question]], GeneratorPool], *, seconds: float
    ) -> None:
        self._pool_of = pool_of
        window = seconds / WINDOWS
        self._settings = Settings(seconds=seconds, window=window, spread=SPREAD, warm_up=window)

    def over(self, protocol: str) -> Ours:
        def measure(questions: Sequence[Question], load: Load) -> Stage:
            pool = self._pool_of(protocol, questions)
            stage = measure_stage(pool, load, section=PEERS, settings=self._settings)
            if stage.ended:
                raise ToolError(f"our own load broke off: {stage.ended}")
            return stage

        return measure


@contextlib.contextmanager
def _pools(
    targets: Mapping[str, Target], *, deadline: float
) -> Iterator[Callable[[str, Sequence[Question]], GeneratorPool]]:
    """A pool for each protocol and kind, kept to the end: its processes take seconds to start."""
    kept: dict[tuple[str, str], GeneratorPool] = {}
    with contextlib.ExitStack() as open_pools:

        def pool_of(protocol: str, questions: Sequence[Question]) -> GeneratorPool:
            name = (protocol, questions[0].kind)
            if name not in kept:
                kept[name] = open_pools.enter_context(
                    GeneratorPool(targets[protocol], questions, processes=1, deadline=deadline)
                )
            return kept[name]

        yield pool_of
