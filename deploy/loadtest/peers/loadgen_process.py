"""MLPerf LoadGen in a process of its own: `... FILE`, options in JSON; prints what it did as JSON.

    {"address", "secure", "metadata", "authorities", "certificate", "private_key",
     "messages" (files of serialized requests), "scenario" ("Server" or "Offline"), "rate" (a second),
     "seconds", "bound" (seconds, p99), "at_once" (calls under way of Offline), "deadline", "log" (folder)}

Its system under test sends serialized requests as asynchronous calls, and does not parse their answers.
"""

import importlib.metadata
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
import mlperf_loadgen

from deploy.loadtest.peers.loadgen_rules import MODEL
from qface_client.measuring.percentiles import percentile

METHOD = "/inference.GRPCInferenceService/ModelInfer"
MODES = {"Server": mlperf_loadgen.TestScenario.Server, "Offline": mlperf_loadgen.TestScenario.Offline}
MLPERFS_OWN = 0  # of `FromConfig`: the file is LoadGen's, not a user's


def settings_of(settings: Any) -> dict[str, Any]:
    """All that LoadGen can be set to, as plain data."""
    return {
        name: value if isinstance(value, bool | int | float | str) else value.name
        for name in dir(settings)
        if not name.startswith("_") and not callable(value := getattr(settings, name))
    }


def mlperfs_settings(scenario: str) -> Any:
    """TestSettings as MLPerf has them."""
    settings = mlperf_loadgen.TestSettings()
    if settings.FromConfig("", MODEL, scenario, MLPERFS_OWN):
        raise RuntimeError("this LoadGen does not have MLPerf's configuration in it")
    settings.scenario = MODES[scenario]
    return settings


def settings_for(options: Mapping[str, Any]) -> Any:
    """TestSettings of a run here: MLPerf's, but for its length, bound and pictures."""
    settings = mlperfs_settings(options["scenario"])
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    settings.server_target_qps = options["rate"]
    settings.offline_expected_qps = options["rate"]
    settings.server_target_latency_ns = round(options["bound"] * 1e9)
    settings.min_duration_ms = round(options["seconds"] * 1e3)
    settings.min_query_count = 1
    settings.performance_sample_count_override = len(options["messages"])
    return settings


class System:
    """The system under test: sends each sample of LoadGen's as a call and completes it once it ended."""

    def __init__(self, channel: grpc.Channel, messages: Sequence[bytes], options: Mapping[str, Any]) -> None:
        self._call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
        self._messages = messages
        self._metadata = tuple(tuple(pair) for pair in options["metadata"])
        self._deadline = options["deadline"]
        # Server: LoadGen sends what is due. Offline: it gives all at once, which no server takes at once.
        offline = options["scenario"] == "Offline"
        self._places = threading.BoundedSemaphore(options["at_once"]) if offline else None
        self.took: list[float] = []  # seconds from a call to its end
        self.codes: Counter[str] = Counter()
        self.first_details = ""

    def issue(self, samples: Sequence[Any]) -> None:
        for sample in samples:
            if self._places is not None:
                self._places.acquire()
            sent = time.perf_counter()
            call = self._call.future(
                self._messages[sample.index], timeout=self._deadline, metadata=self._metadata
            )
            call.add_done_callback(lambda call, sample=sample, sent=sent: self._ended(call, sample.id, sent))

    def flush(self) -> None: ...

    def _ended(self, call: Any, sample: int, sent: float) -> None:
        took = time.perf_counter() - sent
        code = call.code()
        # LoadGen knows no failures: those are counted here, and make the run invalid.
        mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(sample, 0, 0)])
        self.took.append(took)
        self.codes[code.name] += 1
        if code is not grpc.StatusCode.OK and not self.first_details:
            self.first_details = call.details() or ""
        if self._places is not None:
            self._places.release()


def open_channel(options: Mapping[str, Any]) -> grpc.Channel:
    settings = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
    if not options["secure"]:
        return grpc.insecure_channel(options["address"], options=settings)
    files = {
        word: Path(options[name]).read_bytes() if options[name] else None
        for word, name in (
            ("root_certificates", "authorities"),
            ("private_key", "private_key"),
            ("certificate_chain", "certificate"),
        )
    }
    return grpc.secure_channel(options["address"], grpc.ssl_channel_credentials(**files), options=settings)


def measure(options: Mapping[str, Any]) -> dict[str, Any]:
    """One run of LoadGen; its log is in the folder then."""
    messages = [Path(file).read_bytes() for file in options["messages"]]
    settings = settings_for(options)
    output = mlperf_loadgen.LogOutputSettings()
    output.outdir = options["log"]
    log = mlperf_loadgen.LogSettings()
    log.log_output = output
    log.enable_trace = False
    began, cores = time.perf_counter(), time.process_time()
    with open_channel(options) as channel:
        grpc.channel_ready_future(channel).result(timeout=options["deadline"])
        system = System(channel, messages, options)
        under_test = mlperf_loadgen.ConstructSUT(system.issue, system.flush)
        library = mlperf_loadgen.ConstructQSL(len(messages), len(messages), lambda _: None, lambda _: None)
        mlperf_loadgen.StartTestWithLogSettings(under_test, library, settings, log, "")
        mlperf_loadgen.DestroyQSL(library)
        mlperf_loadgen.DestroySUT(under_test)
    return {
        "version": importlib.metadata.version("mlcommons-loadgen"),
        "ours": settings_of(settings),
        "mlperfs": settings_of(mlperfs_settings(options["scenario"])),
        "codes": dict(system.codes),
        "details": system.first_details,
        "calls": {str(share): percentile(system.took, share) for share in (0.5, 0.9, 0.99)},
        "core_seconds": time.process_time() - cores,
        "seconds": time.perf_counter() - began,
    }


def main() -> int:
    # What LoadGen prints must not come between the answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps(measure(json.loads(Path(sys.argv[1]).read_text()))), file=answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
