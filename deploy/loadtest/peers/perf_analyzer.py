"""NVIDIA's perf_analyzer, Triton's own load generator, over gRPC.

`deploy/loadtest/peers/perf-analyzer` fetches it when first needed; README.md beside it has its commands for
hosts with a GPU, whose input `python -m deploy.loadtest.peers --write-input FOLDER` writes.
"""

import csv
import dataclasses
import io
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.embedded.environment import PROJECT
from deploy.loadtest.loads import ClosedLoop, Load, OpenLoop
from deploy.loadtest.peers.perf_analyzer_input import write_input
from deploy.loadtest.peers.tool import (
    LATENCIES,
    Form,
    Measured,
    Plan,
    ToolError,
    last_lines,
    recorded,
    run_program,
)
from deploy.loadtest.protocols.base import Target

PROGRAM = PROJECT / "deploy" / "loadtest" / "peers" / "perf-analyzer"
INPUT, REPORT = "input.json", "report.csv"
VERSION_SECONDS = 300.0  # it may have to be fetched
CLIENTS = (1, 4, 16)
WITH_VARIANT = ClosedLoop(clients=4)  # the load at which asking for all outputs is compared with not doing so
# Percent in which the rates and the p99 of three measurements in a row are to lie. Its default, ten, is less
# than the p99 of some hundred requests differs by chance.
STABILITY = 20
ANY = 999  # percent
# It measures at least three times and, where they differ, until this many.
FEWEST, TRIALS = 3, 6
LEAST_WINDOW = 1000.0  # ms; it fails where no request falls into one
NO_STABLE = 2  # its status where no measurement of a load was stable
_PERCENTILES = {f"p{share} latency": f"p{share}" for share in (50, 90, 95, 99)}
_UNSTABLE = "Failed to obtain stable measurement"
_LATE = re.compile(r"[^.\n]*(?:not able to keep up|delayed)[^.\n]*")
_TYPES: Mapping[type, str] = {bool: "bool", int: "int", float: "double", str: "string"}


class PerfAnalyzer:
    def version(self) -> str:
        try:
            done = subprocess.run(
                [PROGRAM, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ToolError(f"perf_analyzer can't be had: {error}") from None
        if done.returncode:
            raise ToolError(f"perf_analyzer can't be had: {last_lines(done.stdout, done.stderr)}")
        # The program of the wheel gives its own version as 0.0.0.
        (version,) = re.findall(r"^version=(\S+)$", PROGRAM.read_text(), flags=re.MULTILINE)
        return f"perf_analyzer {version}"

    def forms(self, plan: Plan) -> Sequence[Form]:
        return tuple(_form(plan, kind, load) for kind in plan.questions for load in _loads(plan, kind))

    def measure(self, form: Form, target: Target, plan: Plan) -> Measured:
        if target.metadata:
            raise ToolError(
                "perf_analyzer sends no metadata over gRPC, so no key: give a server that wants none"
            )
        with tempfile.TemporaryDirectory(prefix="perf-analyzer-") as place:
            folder = Path(place)
            batched = plan.batched[form.questions[0].model]
            try:
                write_input(form.questions, batched=batched, file=folder / INPUT)
            except ValueError as error:
                raise ToolError(str(error)) from None
            for stability in (STABILITY, ANY):
                measured = self._run(form, target, plan, folder, stability=stability)
                if measured is not None:
                    return measured
        raise ToolError(f"perf_analyzer found no measurement stable within {ANY} %")

    def _run(
        self, form: Form, target: Target, plan: Plan, folder: Path, *, stability: int
    ) -> Measured | None:
        words = words_for(form, target, seconds=plan.seconds, stability=stability)
        done = run_program(
            (PROGRAM, *words, "--input-data", folder / INPUT, "-f", folder / REPORT),
            name="perf_analyzer",
            seconds=TRIALS * plan.seconds,
            folder=folder,
            accepted=(0, NO_STABLE),
        )
        if _UNSTABLE in done.printed + done.errors:
            return None
        report = folder / REPORT
        result = measured(
            report.read_text() if report.exists() else "",
            done.printed + done.errors,
            command=recorded(("perf-analyzer", *words)),
            stable=stability != ANY,
        )
        answers = sum(map(int, re.findall(r"Request count: (\d+)", done.printed)))
        return dataclasses.replace(result, core_ms=1e3 * done.core_seconds / answers if answers else 0.0)

    def reasons(self, form: Form, plan: Plan) -> Mapping[str, str]:
        if isinstance(form.load, ClosedLoop):
            return {}
        expected = form.load.rate * plan.seconds
        drawn = (
            f"its Poisson arrivals are one sequence, the same in each run: in the first {plan.seconds:g} s "
            f"{share_drawn(expected):.0%} of the {expected:.0f} requests that such a rate has"
        )
        return {
            "rate": drawn,
            **dict.fromkeys(
                LATENCIES, f"it counts from when a request was sent, ours from when it was due; {drawn}"
            ),
        }


def share_drawn(expected: float) -> float:
    """Which share of so many expected requests perf_analyzer's Poisson arrivals have.

    It draws them by std::mt19937 with its default seed and std::exponential_distribution:
    src/request_rate_manager.cc of https://github.com/triton-inference-server/perf_analyzer.
    """
    bits = np.random.MT19937()
    bits._legacy_seeding(5489)  # as C++ seeds it; NumPy's public seeds are another function of the number
    # libstdc++ makes a double of two draws, the first one its lower half.
    low, high = np.asarray(bits.random_raw(2 * (int(2 * expected) + 100)), np.float64).reshape(-1, 2).T
    times = np.cumsum(-np.log1p(-(low + high * 2.0**32) / 2.0**64))
    return float(np.count_nonzero(times < expected) / expected)


def _loads(plan: Plan, kind: str) -> Sequence[Load]:
    return (*(ClosedLoop(clients=clients) for clients in CLIENTS), OpenLoop(rate=plan.open_rate(kind)))


def words_for(form: Form, target: Target, *, seconds: float, stability: int) -> Sequence[str]:
    """Its arguments, but for the files."""
    question = form.questions[0]
    trials = FEWEST if stability == ANY else TRIALS
    return (
        *("-m", question.model, "-u", target.address, "-i", "grpc", "--async"),
        *_load_words(form.load),
        *(
            "--measurement-interval",
            str(round(max(LEAST_WINDOW, 1e3 * seconds / FEWEST))),
            "--max-trials",
            str(trials),
        ),
        *("--stability-percentage", str(stability), "--percentile", "99"),
        *(
            word
            for name, value in question.parameters.items()
            for word in ("--request-parameter", f"{name}:{value}:{_TYPES[type(value)]}")
        ),
        *_secure_words(target),
    )


def _load_words(load: Load) -> Sequence[str]:
    if isinstance(load, ClosedLoop):
        return ("--concurrency-range", str(load.clients))
    return ("--request-rate-range", f"{load.rate:g}", "--request-distribution", load.arrivals)


def _secure_words(target: Target) -> Sequence[str]:
    if not target.secure:
        return ()
    files = {
        "--ssl-grpc-root-certifications-file": target.authorities,
        "--ssl-grpc-private-key-file": target.private_key,
        "--ssl-grpc-certificate-chain-file": target.certificate,
    }
    return (
        "--ssl-grpc-use-ssl",
        *(
            word
            for option, file in files.items()
            if file is not None
            for word in (option, str(file.resolve()))
        ),
    )


def measured(report: str, printed: str, *, command: str, stable: bool) -> Measured:
    """What its CSV report has of one load; ToolError with what it printed where it has nothing."""
    rows = list(csv.DictReader(io.StringIO(report)))
    try:
        row = rows[0]
        percentiles = {short: 1e-6 * float(row[long]) for long, short in _PERCENTILES.items()}
        rate = float(row["Inferences/Second"])
    except (IndexError, KeyError, TypeError, ValueError):
        raise ToolError(f"perf_analyzer's report can't be read: {last_lines(printed)}") from None
    return Measured(
        rate=rate,
        percentiles=percentiles,
        command=command,
        valid="stable"
        if stable
        else f"not stable within {STABILITY} %, nor reported: measured again, whatever the spread",
        notes=tuple(line.strip() for line in _LATE.findall(printed)[:1]),
    )


def _form(plan: Plan, kind: str, load: Load) -> Form:
    """It asks for every output that a model declares, those made on request too; so we ask for the same."""
    asked = plan.questions[kind]

    def all_outputs(question: Any) -> Any:
        return dataclasses.replace(
            question, kind=f"{kind}, all outputs", outputs=tuple(plan.outputs[question.model])
        )

    clients = tuple(dataclasses.replace(question, kind=f"{kind}, as clients ask") for question in asked)
    return Form(
        scenario="closed loop" if isinstance(load, ClosedLoop) else "open loop",
        load=load,
        questions=tuple(map(all_outputs, asked)),
        protocol="grpc",
        variant=clients if load == WITH_VARIANT else (),
    )
