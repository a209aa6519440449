"""Alerts of deploy/monitoring fire on real faults: a Prometheus before a gateway that faults are done to.

    python -m tests.deploy.check_live_prometheus --report FILE [--data data/prepared]

The windows of all rules are shortened, so that what takes hours takes a minute; bounds and expressions are
those that ship. In each phase the alerts that belong to its fault must fire, and in the calm one none else.
With prepared sets (--data) faces are many people's, and answers are first like the reference and then not;
without them it is the same face all the time, which is a fault of its own. A picture of the dashboard's
queries lies beside the report.
"""

import argparse
import contextlib
import dataclasses
import datetime
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from build.onnx_interface import read_graph
from deploy.gateway.observability.answer_sums import EVERY_SECONDS, AnswerSums, watched_tensors
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.monitoring.panels import queries
from tests.deploy.alert_faults import Service, crops_request, photo_request, seconds_of, service
from tests.deploy.alert_plots import plot
from tests.deploy.served.test_live_prometheus import GPU_PAGE, RULES, expressions, with_values
from tests.helpers.live_prometheus import LivePrometheus, page_served, series_named
from tests.helpers.paths import ROOT
from training.data.prepared.face_set import prepared_sets

# Windows and waits as the rules have them, and as they are here.
SHORTENED = {
    r"\[(?:2m|5m)\]": "[10s]",
    r"\[(?:10m|15m|30m)\]": "[20s]",
    r"\[(?:1h|2h|1d)\]": "[30s]",
    r"\[(?:6h|3d)\]": "[60s]",
    r"for: 1m": "for: 1s",
    r"for: (?:2m|3m|5m)": "for: 3s",
    r"for: (?:10m|15m)": "for: 2s",
    r"for: 1h": "for: 6s",
}
ALWAYS = {
    "QFaceCertificateExpires",
    "QFaceAccessLogLost",
}  # five days are left, and its log is on a full disk
# What a busy machine may cause at any time.
BUSY = {"QFaceLatencyBudgetBurnsFast", "QFaceLatencyBudgetBurns", "QFaceQueueGrows"}
DRIFT = {"QFaceAnswersShifted", "QFaceAnswersSpread"}
# Series of what does not happen here: traces; a client that leaves in time.
ELSEWHERE = {"qface_gateway_spans_total", "qface_gateway_abandoned_total"}
WAIT_SECONDS = 180.0
CALM_SECONDS = 75.0
MODELS = ROOT / "weights" / "qface-tiny.onnx"
_FACES = 512
_FACE = (slice(40, 210), slice(140, 310))  # of the portrait
_ROWS = 8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """An alert that was to fire."""

    phase: str
    alert: str
    pending: float | None  # seconds after the fault; None: it never was
    firing: float | None


class Check:
    """What was seen, and what is wrong."""

    def __init__(self, prometheus: LivePrometheus) -> None:
        self.prometheus = prometheus
        self.seen: list[Seen] = []
        self.wrong: list[str] = []
        self.phases: list[tuple[str, float]] = []

    def alerts(self, state: str) -> set[str]:
        return {
            sample["metric"]["alertname"]
            for sample in self.prometheus.query(f'ALERTS{{alertstate="{state}"}}')
        }

    def phase(self, name: str, expected: set[str], do: Callable[[], object] = lambda: None) -> None:
        """Does a fault, and waits until the alerts fire that belong to it."""
        began = time.monotonic()
        self.phases.append((name, time.time()))
        do()
        pending: dict[str, float] = {}
        firing: dict[str, float] = {}
        while expected - firing.keys() and time.monotonic() - began < WAIT_SECONDS:
            now = time.monotonic() - began
            for alert in self.alerts("pending"):
                pending.setdefault(alert, now)
            for alert in self.alerts("firing"):
                firing.setdefault(alert, now)
            time.sleep(0.5)
        for alert in sorted(expected):
            self.seen.append(
                Seen(phase=name, alert=alert, pending=pending.get(alert), firing=firing.get(alert))
            )
            self.hold(alert in firing, f"{name}: {alert} did not fire within {WAIT_SECONDS:g} s")
        print(f"{name}: {sorted(firing)} after {time.monotonic() - began:.0f} s", flush=True)

    def calm(self, seconds: float, *, allowed: set[str]) -> set[str]:
        """Nothing but these may fire meanwhile; what did."""
        self.phases.append(("calm", time.time()))
        end, fired = time.monotonic() + seconds, set()
        while time.monotonic() < end:
            fired |= self.alerts("firing")
            time.sleep(1.0)
        self.hold(fired <= allowed, f"calm: {sorted(fired - allowed)} fired")
        return fired

    def settled(self, gauge: str) -> None:
        """Waits until this gauge is 1."""
        self.prometheus.wait_until(lambda: self.prometheus.value(gauge) == 1, what=gauge, seconds=300)

    def hold(self, condition: bool, sentence: str) -> None:
        if not condition:
            self.wrong.append(sentence)


def faces_of(data: Path | None, *, size: int) -> NDArray[np.uint8]:
    """Crops of many people, in an order without meaning; of one where there is no data."""
    if data is None:
        portrait = cv2.imread(str(PORTRAIT), cv2.IMREAD_COLOR_RGB)
        assert portrait is not None
        crop = cv2.resize(portrait[_FACE], (size, size), interpolation=cv2.INTER_AREA)
        return np.repeat(np.asarray(crop, np.uint8)[None], _ROWS, axis=0)
    parts = [
        faces.served_crops(np.linspace(0, len(faces) - 1, _FACES // 2).astype(int), size=size)
        for faces in prepared_sets(data)
    ]
    every = np.concatenate(parts)
    chosen: NDArray[np.uint8] = every[np.random.default_rng(3).permutation(len(every))[:_FACES]]
    return chosen


def batches(crops: NDArray[np.uint8]) -> list[Any]:
    return [crops_request(crops[start : start + _ROWS]) for start in range(0, len(crops), _ROWS)]


def faults(
    check: Check, running: Service, crops: NDArray[np.uint8], *, has_data: bool, folder: Path
) -> set[str]:
    """All phases; returns what fired in the calm one."""
    usual = batches(crops)
    with running.load(usual, workers=1, pause=0.4), running.load([photo_request()], workers=1, pause=1.0):
        check.phase("as it starts", ALWAYS)
        fired = check.calm(CALM_SECONDS, allowed=ALWAYS | BUSY | (set() if has_data else DRIFT))
        check.settled("qface_gateway_standby_ready")
        check.phase("Triton killed", {"QFaceTritonRepaired", "QFaceStandbyMissing"}, running.kill_triton)
        check.settled("qface_gateway_ready")
        damaged = folder / "damaged"
        (damaged / "models").mkdir(parents=True)
        check.phase("swap to a damaged repository", {"QFaceSwapFailed"}, lambda: running.swap_to(damaged))
        check.phase(
            "main process killed", {"QFaceGatewayRestarted", "QFaceNoReplicaReady"}, running.kill_main_process
        )
        check.settled("qface_gateway_ready")
    with running.load([photo_request()], workers=48, pause=0.0, key="crowd"):
        check.phase("far more photos than can be answered", {"QFaceOverloaded", "QFaceErrorBudgetBurnsFast"})
    with running.load(batches(np.zeros_like(crops)), workers=1, pause=0.4):
        check.phase("black pictures", DRIFT if has_data else {"QFaceAnswersShifted"})
    return fired


def cost_lines(running: Service, crops: NDArray[np.uint8]) -> Iterator[str]:
    """What it takes to read an answer for its sums, beside all that the main process takes for a request."""
    watched = watched_tensors(read_graph(MODELS).contract.select(None).to_text())
    yield "| answer | faces | core-ms an answer | core-ms a face |"
    yield "|---|---:|---:|---:|"
    for what, request, faces in (
        ("photo", photo_request(), 1),
        ("one crop", crops_request(crops[:1]), 1),
        (f"{_ROWS} crops", crops_request(crops[:_ROWS]), _ROWS),
    ):
        answer = running.answer(request)
        clock = iter(np.arange(1000) * 2 * EVERY_SECONDS)
        sums = AnswerSums(lambda block: None, clock=lambda clock=clock: float(next(clock)))
        taken = seconds_of(lambda sums=sums, answer=answer: [sums.take(answer, watched) for _ in range(900)])
        yield f"| {what} | {faces} | {taken / 900 * 1e3:.3f} | {taken / 900 / faces * 1e3:.3f} |"


def report(check: Check, *, fired: set[str], cost: Sequence[str], picture: str, data: Path | None) -> str:
    """The report as Markdown."""
    held = "All of it held." if not check.wrong else "**What did not hold:**"
    rows = [
        f"| {each.phase} | {each.alert} | {_seconds(each.pending)} | {_seconds(each.firing)} |"
        for each in check.seen
    ]
    lines = [
        "# Alerts on real faults",
        "",
        f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}, by `python -m tests.deploy.check_live_prometheus"
        f" --report FILE{' --data DIR' if data else ''}`: Prometheus before a gateway over `var/repository`,",
        "on cores that other work shared. Rules, bounds and expressions are those of deploy/monitoring, with",
        "shortened windows.",
        "",
        held,
        *(f"- {each}" for each in check.wrong),
        "",
        "| fault | alert | pending after, s | firing after, s |",
        "|---|---|---:|---:|",
        *rows,
        "",
        "0: it fired already, for the fault before. With the windows that ship it takes longer.",
        "",
        f"In {CALM_SECONDS:g} calm seconds fired: {', '.join(sorted(fired)) or 'nothing'}.",
        "Late answers may come of a busy machine. The certificate has five days and the access log lies on a",
        "full disk, on purpose.",
        "",
        "GPU series (`nv_gpu_*`, `DCGM_*`) came from a page made up from public documentation:",
        "no GPU was there.",
        "",
        "## What watching answers costs",
        "",
        *cost,
        "",
        f"At most {1 / EVERY_SECONDS:g} answers a second are read in each front, so the third column times",
        "that many is what it takes of a core at any load.",
        "",
        "## The dashboard's queries meanwhile",
        "",
        f"![Rates, times, refusals, queue, alerts and drift over the phases]({picture})",
        "",
    ]
    return "\n".join(lines)


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where everything held."""
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.check_live_prometheus", description=__doc__)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--repository", type=Path, default=ROOT / "var" / "repository")
    parser.add_argument("--data", type=Path, help="prepared sets")
    options = parser.parse_args(arguments)
    crops = faces_of(options.data, size=read_graph(MODELS).contract.input_size)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = stack.enter_context(service(options.repository, folder))
        gpu = stack.enter_context(page_served(GPU_PAGE))
        targets = {"q-face": [running.gateway.http_address], "gpu": [gpu]}
        prometheus = stack.enter_context(
            LivePrometheus(folder / "prometheus", targets=targets, rules=RULES, shortened=SHORTENED)
        )
        prometheus.wait_until(lambda: prometheus.value("sum(up)") == 2, what="all targets are scraped")
        check, began = Check(prometheus), time.time()
        cost = list(cost_lines(running, crops))
        fired = faults(check, running, crops, has_data=options.data is not None, folder=folder)
        for query in queries():
            prometheus.query(with_values(query))
        named = set().union(*(series_named(each) for each in (*expressions(), *queries())))
        missing = named - prometheus.names() - ELSEWHERE
        check.hold(not missing, f"series that do not exist: {sorted(missing)}")
        for rule in prometheus.rules():
            check.hold(rule["health"] == "ok", f"{rule['name']}: {rule.get('lastError')}")
            texts = [text for alert in rule.get("alerts", ()) for text in alert["annotations"].values()]
            check.hold(not any("<error" in text for text in texts), f"{rule['name']}: {texts}")
        check.phase("gateway stopped", {"QFaceNoReplicaReady", "QFaceReplicaGone"}, running.gateway.stop)
        picture = options.report.with_suffix(".png")
        plot(prometheus, picture, phases=check.phases, start=began, end=time.time())
        text = report(check, fired=fired, cost=cost, picture=picture.name, data=options.data)
        options.report.write_text(text)
        print(text)
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
