"""A whole load test: the server, what is sent to it, the stages, the report."""

import contextlib
import dataclasses
import functools
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.embedded.errors import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.loadtest.command.options import Options
from deploy.loadtest.command.plan import PlanRun
from deploy.loadtest.command.progress import ProgressLines, put
from deploy.loadtest.generator import GeneratorError, GeneratorPool
from deploy.loadtest.peers.measuring import GRPC, REST, SECONDS, measure_peers, peers_work
from deploy.loadtest.peers.outcome import Outcome, added
from deploy.loadtest.peers.tool import ToolError
from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.protocols.descriptions import summary
from deploy.loadtest.results import Run, Stage
from deploy.loadtest.search import SECTION as SEARCH
from deploy.loadtest.server.side import server_side
from deploy.loadtest.server.spans import SpanReceiver
from deploy.loadtest.work.building import Work, build
from deploy.measuring.about import run_header, served_here
from deploy.measuring.processes import resident_bytes

MODULE = "deploy.loadtest"
ANSWER_SECONDS = 30.0  # of what is called before the load: a model may load, an engine warm up
JSON = "report.json"
_CLOCK_SECONDS = 1.0  # between the two clocks, from which on the wall clock was set meanwhile


class LoadTestError(Exception):
    """Nothing can be measured; one sentence."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Server:
    """The server that is loaded.

    supervisor_pid, spans   of a gateway that was started for this
    """

    target: Target
    grpc_address: str = ""
    rest_address: str = ""
    metrics_url: str = ""
    supervisor_pid: int | None = None
    spans: SpanReceiver | None = None


def run(options: Options, *, arguments: Sequence[str]) -> int:
    """Measures, writes the report, returns the exit status; LoadTestError where nothing can be measured."""
    _check_output(options.output)
    progress = ProgressLines(sys.stderr)
    clocks = time.time() - time.monotonic()
    about: dict[str, Any] = run_header(module=MODULE, arguments=arguments)
    with _unmeasurable(), contextlib.ExitStack() as stack:
        server = stack.enter_context(_server(options, progress))
        door = doors[server.target.protocol]
        description = door.describe(
            server.target,
            timeout=ANSWER_SECONDS,
            models=(options.work.model,) if options.work.model else (),
        )
        work = build(
            options.work,
            door=door,
            target=server.target,
            description=description,
            timeout=ANSWER_SECONDS,
        )
        about |= _about(options, server, work, description)
        side = stack.enter_context(
            server_side(
                server.target,
                work.questions,
                supervisor_pid=server.supervisor_pid,
                grpc_address=server.grpc_address,
                metrics_url=server.metrics_url,
                spans=server.spans,
            )
        )
        pool = stack.enter_context(
            GeneratorPool(
                server.target,
                work.questions,
                processes=options.processes,
                deadline=options.deadline,
                seed=options.seed,
            )
        )
        measured = PlanRun(
            options.plan,
            pool=pool,
            settings=options.settings,
            server_side=side,
            memory=_memory(server),
            progress=progress,
            keep=functools.partial(_keep, about, options.output),
        )
        measured.run()
        outcome = _peers(options, server, progress) if not measured.interrupted and measured.stages else None
        _finish_undisturbed()
    moved = time.time() - time.monotonic() - clocks
    if abs(moved) > _CLOCK_SECONDS:
        about["notes"] = [
            *about.get("notes", ()),
            f"the wall clock was set by {moved:+.1f} s meanwhile; durations are not affected",
        ]
    return _report(options, about, measured, outcome)


def _finish_undisturbed() -> None:
    """Ignores signals from now on: an impatient second Ctrl-C would cost the report of what was measured.

    What follows, the server's end and the report, takes seconds.
    """
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)


def _keep(about: Mapping[str, Any], folder: Path, stages: Sequence[Stage]) -> None:
    """Writes what there is, in case that this process is killed; the report itself comes at the end."""
    with contextlib.suppress(OSError):
        Run(about=about, stages=tuple(stages), ended="it did not come to its end").write(folder / JSON)


def _peers(options: Options, server: _Server, progress: ProgressLines) -> Outcome | None:
    """What other tools measure of the same server; None where none is asked for."""
    if not options.peers:
        return None
    if server.target.protocol != GRPC:
        return Outcome(not_measured=["other tools load over grpc: give a --url of that protocol"])
    targets = {GRPC: server.target}
    if options.rest is not None:
        targets[REST] = options.rest.target()
    elif server.rest_address:
        targets[REST] = Target(protocol=REST, address=server.rest_address)
    objective = options.plan.objective
    try:
        work = build(peers_work(options.work), door=doors[GRPC], target=server.target, timeout=ANSWER_SECONDS)
        return measure_peers(
            work.questions,
            targets=targets,
            seconds=min(SECONDS, options.settings.seconds),
            slo=objective.seconds,
            deadline=options.deadline,
            progress=progress.line,
        )
    except (ConnectionError, GeneratorError, ToolError, ValueError) as error:
        return Outcome(not_measured=[f"others' tools: {error}"])
    except KeyboardInterrupt:
        return Outcome(interrupted=True)


def _about(options: Options, server: _Server, work: Work, description: Mapping[str, Any]) -> dict[str, Any]:
    """What the report has beside the measurements; no key."""
    target = server.target
    return {
        "target": {"protocol": target.protocol, "address": target.address, "secure": target.secure},
        "serves": _serves(options, server, description),
        "work": work.about,
        "settings": {
            **dataclasses.asdict(options.settings),
            "deadline": options.deadline,
            "processes": options.processes,
            "seed": options.seed,
            "slo": options.plan.objective.text,
        },
        **({"notes": list(work.notes)} if work.notes else {}),
    }


@contextlib.contextmanager
def _server(options: Options, progress: ProgressLines) -> Iterator[_Server]:
    """The server of the options' address, or a gateway that runs within the block."""
    access = options.access
    if access.url:
        yield _Server(
            target=access.target(),
            grpc_address=options.grpc_address,
            metrics_url=options.metrics_url,
        )
        return
    # Refused before a gateway is started, which takes a while.
    asked = access.target(address="127.0.0.1:1")
    with SpanReceiver() as spans:
        progress.line(f"starts a gateway over {options.repository}")
        with GatewayServer(options.repository, rest_port=0, arguments=spans.gateway_arguments) as gateway:
            addresses = {"grpc": gateway.grpc_address, "rest": gateway.rest_address}
            if asked.protocol not in addresses:
                raise LoadTestError(
                    f"the gateway that is started does not have the protocol {asked.protocol!r}: "
                    "give --url of a server that has it"
                )
            yield _Server(
                target=access.target(address=addresses[asked.protocol]),
                grpc_address=gateway.grpc_address,
                rest_address=gateway.rest_address,
                metrics_url=f"http://{gateway.http_address}/metrics",
                supervisor_pid=gateway.supervisor_pid,
                spans=spans,
            )


def _serves(options: Options, server: _Server, description: Mapping[str, Any]) -> dict[str, Any]:
    """What the server returns of itself; of a gateway that was started what its repository has, too."""
    repository = served_here(options.repository) if server.supervisor_pid is not None else {}
    return {**repository, **summary(description)}


def _memory(server: _Server) -> Callable[[], Mapping[str, int]] | None:
    if server.supervisor_pid is None:
        return None
    return functools.partial(resident_bytes, server.supervisor_pid)


def _report(options: Options, about: dict[str, Any], measured: PlanRun, outcome: Outcome | None) -> int:
    """Writes what was measured, prints it, and returns the exit status."""
    if not any(stage.due for stage in measured.stages):
        if measured.interrupted:
            raise KeyboardInterrupt
        raise LoadTestError(
            measured.ended or "nothing was due in the time that was measured: give more --seconds, or --rates"
        )
    run = Run(
        about=about,
        stages=tuple(measured.stages),
        searches=tuple(measured.searches),
        ended=measured.ended,
    )
    if outcome is not None:
        run = added(run, outcome)
        about = dict(run.about)
    verdicts = [requirement.check(run) for requirement in options.requirements]
    if verdicts:
        about["requirements"] = [dataclasses.asdict(verdict) for verdict in verdicts]
        run = dataclasses.replace(run, about=about)
    # Its plots take a second to import, which no load is to wait for.
    from deploy.loadtest.report import MARKDOWN, PAGE, write_report

    try:
        write_report(run, options.output)
    except OSError as error:
        raise LoadTestError(
            f"the report can't be written to {options.output}: {error.strerror}; what was measured is lost "
            f"but for what is in {JSON} there"
        ) from None
    put(f"{(options.output / MARKDOWN).read_text()}\n", sys.stdout)
    put(f"with its plots: {options.output / PAGE}\n", sys.stderr)
    for verdict in verdicts:
        print(
            f"{'kept' if verdict.kept else 'NOT KEPT'}: {verdict.requirement}: {verdict.sentence}",
            file=sys.stderr,
        )
    if measured.ended:
        print(f"loadtest: {measured.ended}", file=sys.stderr)
    if measured.interrupted or (outcome is not None and outcome.interrupted):
        return 130
    lost = (
        measured.ended
        or any(stage.ended for stage in measured.stages if stage.section != SEARCH)
        or (outcome is not None and outcome.not_measured)
        or any(search.rate is None for search in measured.searches)
    )
    return 1 if lost or not all(verdict.kept for verdict in verdicts) else 0


def _check_output(folder: Path) -> None:
    """LoadTestError where the report could not be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise LoadTestError(
            f"the report can't be written to {folder}: {error.strerror}; give another --output"
        ) from None


@contextlib.contextmanager
def _unmeasurable() -> Iterator[None]:
    """What keeps a load test from beginning, as its sentence."""
    try:
        yield
    except (EmbeddedServerError, GeneratorError, ConnectionError, ValueError) as error:
        raise LoadTestError(str(error)) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise LoadTestError(f"{where}{error.strerror or error}") from None
