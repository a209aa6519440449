"""MLPerf LoadGen's Server and Offline scenarios over gRPC: unverified, the overridden rules listed."""

import dataclasses
import json
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.embedded.environment import PROJECT
from deploy.loadtest.loads import ClosedLoop, OpenLoop
from deploy.loadtest.peers.loadgen_rules import VERDICT, overridden
from deploy.loadtest.peers.tool import (
    LATENCIES,
    Form,
    Measured,
    Plan,
    ToolError,
    absolute,
    installed,
    run_program,
    write_private,
)
from deploy.loadtest.protocols.base import OK, Target
from deploy.loadtest.protocols.v2_grpc import request_of

SERVER, OFFLINE = "Server", "Offline"
AT_ONCE = 4  # calls under way of Offline
MODULE = "deploy.loadtest.peers.loadgen_process"
SUMMARY = "mlperf_log_summary.txt"
SCHEDULED = "Scheduled samples per second"
BUSY = 0.7  # of a core: one Python process that takes more may be the limit itself
_RATES = {SERVER: "Completed samples per second", OFFLINE: "Samples per second"}
_PERCENTILES = {"50.00": "p50", "90.00": "p90", "95.00": "p95", "99.00": "p99", "99.90": "p99.9"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadGen:
    """python: of an environment that has mlcommons-loadgen."""

    python: str = sys.executable

    def version(self) -> str:
        return f"MLPerf LoadGen {installed('mlcommons-loadgen')}"

    def forms(self, plan: Plan) -> Sequence[Form]:
        kind = dearest(plan)
        questions = plan.questions[kind]
        return (
            Form(
                scenario=f"{SERVER}: Poisson, p99 within {1e3 * plan.slo:g} ms",
                load=OpenLoop(rate=plan.open_rate(kind)),
                questions=questions,
                protocol="grpc",
            ),
            Form(
                scenario=f"{OFFLINE}: all at once, {AT_ONCE} calls under way",
                load=ClosedLoop(clients=AT_ONCE),
                questions=questions,
                protocol="grpc",
            ),
        )

    def measure(self, form: Form, target: Target, plan: Plan) -> Measured:
        scenario = SERVER if isinstance(form.load, OpenLoop) else OFFLINE
        rate = form.load.rate if isinstance(form.load, OpenLoop) else plan.rates[form.kind]
        with tempfile.TemporaryDirectory(prefix="loadgen-") as place:
            folder = Path(place)
            options = {
                "address": target.address,
                "secure": target.secure,
                "metadata": [(key.lower(), value) for key, value in target.metadata],  # as gRPC wants them
                "authorities": absolute(target.authorities),
                "certificate": absolute(target.certificate),
                "private_key": absolute(target.private_key),
                "messages": _written(form, folder),
                "scenario": scenario,
                "rate": rate,
                "seconds": plan.seconds,
                "bound": plan.slo,
                "at_once": AT_ONCE,
                "deadline": plan.deadline,
                "log": str(folder),
            }
            done = run_program(
                (self.python, "-m", MODULE, write_private(options, folder / "options.json")),
                name="LoadGen",
                seconds=plan.seconds + plan.deadline,
                folder=PROJECT,
            )
            return measured(
                done.printed,
                (folder / SUMMARY).read_text(),
                scenario=scenario,
                pictures=len(form.questions),
            )

    def reasons(self, form: Form, plan: Plan) -> Mapping[str, str]:
        if isinstance(form.load, ClosedLoop):
            return {
                "rate": "Offline's rate counts the last calls, which end with fewer than all places taken"
            }
        drawn = (
            "its arrivals are drawn by MLPerf's seed, ours by ours: over some seconds Poisson counts differ"
        )
        return {
            "rate": f"{drawn}; it counts until the last answer, after the last arrival",
            **dict.fromkeys(
                LATENCIES,
                f"{drawn}; its latency has its Python client in it, on both sides of the call",
            ),
        }


def dearest(plan: Plan) -> str:
    """The kind that is answered most seldom: the one that a server is bought for."""
    return min(plan.rates, key=plan.rates.__getitem__)


def measured(printed: str, summary: str, *, scenario: str, pictures: int) -> Measured:
    """What a run of loadgen_process gave, from its answer and LoadGen's summary; ToolError for any other."""
    try:
        process: dict[str, Any] = json.loads(printed)
        values = {
            name.strip(): value.strip()
            for name, separator, value in (line.partition(":") for line in summary.splitlines())
            if separator
        }
        rate = float(values[_RATES[scenario]])
        verdict = values["Result is"]
        if scenario == SERVER:
            float(values[SCHEDULED])
        latency = {
            short: 1e-9 * float(values[f"{long} percentile latency (ns)"])
            for long, short in _PERCENTILES.items()
        }
        count = sum(process["codes"].values())
        share = process["core_seconds"] / process["seconds"]
        own = {name: float(value) for name, value in process["calls"].items()}
        rules = overridden(theirs=process["mlperfs"], ours=process["ours"], pictures=pictures)
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise ToolError(
            f"LoadGen's answer can't be read ({type(error).__name__}: {error}): {printed[-200:]!r}"
        ) from None
    failed = {code: number for code, number in process["codes"].items() if code != OK}
    if failed:
        verdict = "INVALID"
    return Measured(
        rate=rate,
        # Offline's latencies are a sample's wait for all before it.
        percentiles=latency if scenario == SERVER else {},
        command="python -m deploy.loadtest.peers --tools loadgen",
        core_ms=1e3 * process["core_seconds"] / count if count else 0.0,
        valid=f"{verdict}, {VERDICT}",
        notes=(
            *_failures(failed, process["details"]),
            *_why_invalid(summary, verdict),
            *((f"it had {values[SCHEDULED]} requests a second due",) if scenario == SERVER else ()),
            f"its Python client took {share:.2f} of a core"
            + (": it may have been the limit" if share > BUSY else ", and was not the limit"),
            f"the calls alone took {1e3 * own['0.5']:.1f} ms (p50) and {1e3 * own['0.99']:.1f} ms (p99)"
            + (
                f"; from when they were due on {1e3 * latency['p50']:.1f} and {1e3 * latency['p99']:.1f}"
                if scenario == SERVER
                else ": its latencies count from the start of all and are not compared"
            ),
            *(f"overridden: {rule}" for rule in rules),
        ),
    )


def _failures(failed: Mapping[str, int], details: str) -> Sequence[str]:
    counted = ", ".join(f"{number} {code}" for code, number in failed.items())
    return (f"LoadGen counts no failures; these calls failed: {counted} ({details})",) if failed else ()


def _why_invalid(summary: str, verdict: str) -> Sequence[str]:
    unmet = re.findall(r"^\s*(.+?) satisfied\s*: *NO\b", summary, flags=re.MULTILINE | re.IGNORECASE)
    return (f"INVALID, as not satisfied: {', '.join(unmet)}",) if unmet and verdict == "INVALID" else ()


def _written(form: Form, folder: Path) -> Sequence[str]:
    files = []
    for number, question in enumerate(form.questions):
        file = folder / f"{number}.request"
        file.write_bytes(request_of(question).SerializeToString())
        files.append(str(file))
    return files
