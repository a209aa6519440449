"""Does every fault of the table to a gateway under eight clients: `make faults`.

    python -m deploy.benchmark.faults [--times N] [--only WORD ...]

Writes a Markdown table to standard output: of each fault how the clients' requests ended meanwhile, their
p99, and the seconds until all was whole again. The status is 1 when a request was lost or answered wrongly.
"""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from deploy.benchmark.faults.bare import fates
from deploy.benchmark.faults.processes import (
    model_processes,
    processes_below,
    resident_bytes,
    send,
)
from deploy.benchmark.faults.table import Row, machine, memory_table, table
from deploy.benchmark.faults.whole import is_whole, seconds_until
from deploy.benchmark.load import End, Load, Samples, leaving, mixed_clients
from deploy.benchmark.load.sample_requests import LOW_PRECISION_TOLERANCE
from deploy.embedded import EmbeddedServerError
from deploy.embedded.environment import PROJECT
from deploy.gateway.operation.control import ControlError
from deploy.gateway.operation.service import GatewayServer

PORTRAIT = PROJECT / "tests" / "assets" / "astronaut.jpg"
DEADLINE = 60.0  # seconds that each request has
REPAIR_SECONDS = 300.0
FROZEN_SECONDS = 1.0  # between SIGSTOP and SIGCONT

KILL, FREEZE, FREEZE_AND_THAW = (
    ("killed", (signal.SIGKILL,)),
    ("frozen", (signal.SIGSTOP,)),
    ("frozen for a second", (signal.SIGSTOP, signal.SIGCONT)),
)


class Runner:
    """Does faults to one gateway and collects their rows."""

    def __init__(self, gateway: GatewayServer, *, times: int, standby: bool, folder: Path) -> None:
        self.rows: list[Row] = []
        self._gateway = gateway
        self._times = times
        self._standby = standby
        self._folder = folder
        photo = PORTRAIT.read_bytes()
        self._samples = Samples(
            gateway.grpc_address,
            gateway.models,
            size=112,
            variants=2,
            photos=[photo],
            tolerance=LOW_PRECISION_TOLERANCE,
        )
        self._photo = photo
        self._python_models = [
            name for name, config in self._samples.configs.items() if config.backend == "python"
        ]
        self.supervisor = gateway.supervisor_pid

    def faults(self) -> Iterator[tuple[str, Callable[[], float | None]]]:
        """By name what does each, and returns the seconds until all was whole."""
        yield "none", partial(self._wait, 10.0)
        for word, signals in (KILL, FREEZE, FREEZE_AND_THAW):
            for model in self._python_models:
                yield f"{model} {word}", partial(self._signal_model, model, signals)
        for word, signals in (KILL, FREEZE):
            yield f"Triton {word}", partial(self._signal_triton, signals)
        yield "gateway killed", self._kill_gateway
        for name in self._samples.ensembles:
            yield f"{self._times} expiries on {name}", partial(self._leave, leaving.expire, name)
            yield f"{self._times} cancellations on {name}", partial(self._leave, leaving.cancel, name)
            yield f"{self._times} killed clients on {name}", partial(self._kill_clients, name)
        yield "swap", self._swap
        yield "rollback", self._rollback

    def run(self, name: str, fault: Callable[[], float | None]) -> Row:
        """Does a fault under eight clients."""
        self.wait_for_standby()
        clients = mixed_clients(
            self._gateway.grpc_address, self._samples, deadline=DEADLINE, photo=self._photo
        )
        remark, whole = "", None
        load = Load(clients, deadline=DEADLINE, pause=0.1)
        with load:
            load.wait_for(16, timeout=REPAIR_SECONDS)
            try:
                whole = fault()
                load.wait_for(16, timeout=REPAIR_SECONDS)
            except (TimeoutError, AssertionError, ConnectionError, ControlError) as error:
                remark = str(error)
        if harmed := [outcome for outcome in load.outcomes if outcome.harmed]:
            remark = f"{remark} {len(harmed)} harmed, the first: {harmed[0].code} {harmed[0].details}".strip()
        row = Row(fault=name, whole=whole, summary=load.summary, remark=remark)
        self.rows.append(row)
        return row

    def wait_for_standby(self) -> None:
        """Returns when the second Triton is ready, where there is to be one."""
        if self._standby:
            seconds_until(lambda: bool(self._gateway.status()["standby_ready"]), timeout=REPAIR_SECONDS)

    def _whole(self, *hurt: int) -> float:
        return seconds_until(
            lambda: is_whole(self._gateway, self._python_models, without=hurt), timeout=REPAIR_SECONDS
        )

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)

    def _signals(self, pid: int, signals: Sequence[signal.Signals]) -> None:
        for number in signals:
            if number is signal.SIGCONT:
                time.sleep(FROZEN_SECONDS)
                if pid not in processes_below(self.supervisor):
                    return  # it was found and killed meanwhile
            send(pid, number, below=self.supervisor)

    def _signal_model(self, model: str, signals: Sequence[signal.Signals]) -> float:
        triton = self._gateway.triton_pid
        pid = model_processes(triton)[model][0]
        self._signals(pid, signals)
        return self._whole(pid, triton)

    def _signal_triton(self, signals: Sequence[signal.Signals]) -> float:
        pid = self._gateway.triton_pid
        self._signals(pid, signals)
        return self._whole(pid)

    def _kill_gateway(self) -> float:
        pids = (self._gateway.pid, self._gateway.triton_pid)
        send(pids[0], signal.SIGKILL, below=self.supervisor)
        return self._whole(*pids)

    def _leave(self, leave: Callable[..., object], model: str) -> None:
        leave(self._gateway.grpc_address, self._samples.messages(model), times=self._times)

    def _kill_clients(self, model: str) -> None:
        leaving.kill_clients(
            self._gateway.grpc_address, self._samples.messages(model)[0], clients=self._times
        )

    def _swap(self) -> float:
        """To a copy of the same files."""
        served = Path(str(self._gateway.status()["repository"]))
        copy = self._folder / "repository"
        shutil.copytree(served, copy, symlinks=True)
        before = self._gateway.triton_pid
        began = time.monotonic()
        self._gateway.swap(copy)
        return time.monotonic() - began + self._whole(before)

    def _rollback(self) -> float:
        before = self._gateway.triton_pid
        began = time.monotonic()
        self._gateway.rollback()
        return time.monotonic() - began + self._whole(before)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.benchmark.faults", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--repository", type=Path, default=PROJECT / "var" / "repository")
    parser.add_argument("--times", type=int, default=1000, help="how many clients leave each ensemble")
    parser.add_argument(
        "--standby", default="never", help="whether the gateway keeps a second Triton: auto, always, never"
    )
    parser.add_argument("--only", nargs="+", default=(), help="words of the faults' names; default: all")
    parser.add_argument(
        "--bare", action="store_true", help="what some of it does to Triton without the gateway"
    )
    parser.add_argument("--log", type=Path, default=PROJECT / "var" / "faults-server.log")
    options = parser.parse_args(arguments)
    options.log.parent.mkdir(exist_ok=True)
    try:
        if options.bare:
            for name, fate in fates(options.repository, times=options.times).items():
                print(f"{name}: {fate}")
            return 0
        with (
            tempfile.TemporaryDirectory() as folder,
            options.log.open("w") as sink,
            GatewayServer(options.repository, log=sink, arguments=["--standby", options.standby]) as gateway,
        ):
            runner = Runner(
                gateway, times=options.times, standby=options.standby == "always", folder=Path(folder)
            )
            runner.wait_for_standby()
            memory = memory_table(resident_bytes(runner.supervisor))
            for name, fault in runner.faults():
                if options.only and not any(word in name for word in options.only):
                    continue
                row = runner.run(name, fault)
                print(f"{name}: {row.summary} {row.remark}", file=sys.stderr)
    except EmbeddedServerError as error:
        print(f"faults: {error} (its log: {options.log})", file=sys.stderr)
        return 2
    print(
        f"{machine()}; eight clients, a deadline of {DEADLINE:.0f} s, a standby Triton: {options.standby}\n"
    )
    print(table(runner.rows))
    print(f"\nMemory, with a standby Triton: {options.standby}\n\n{memory}")
    bad = [
        row for row in runner.rows if row.summary.ends[End.LOST] or row.summary.ends[End.WRONG] or row.remark
    ]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
