"""What some of the attacks do to Triton without a gateway before it: each gets a server of its own."""

import contextlib
import itertools
from collections.abc import Callable, Mapping
from pathlib import Path

import grpc
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.load import Samples, leaving
from deploy.benchmark.load.sample_requests import CHANNEL
from deploy.embedded import EmbeddedServer, ServerDied

_SECONDS = 30.0  # of a request
_TEXT = 13  # TYPE_STRING


def classify_text(address: str, samples: Samples, model: str, times: int) -> None:
    """One request that wants the largest elements of an output of text."""
    request = v2.ModelInferRequest()
    request.CopyFrom(samples.of(model, 0).request)
    for output in samples.configs[model].output:
        if output.data_type == _TEXT:
            request.outputs.add(name=output.name).parameters["classification"].int64_param = 3
    with grpc.insecure_channel(address, options=CHANNEL) as channel, contextlib.suppress(grpc.RpcError):
        v2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(request, timeout=_SECONDS)


def expire(address: str, samples: Samples, model: str, times: int) -> None:
    leaving.expire(address, samples.messages(model), times=times)


def cancel(address: str, samples: Samples, model: str, times: int) -> None:
    leaving.cancel(address, samples.messages(model), times=times)


def kill(address: str, samples: Samples, model: str, times: int) -> None:
    with contextlib.suppress(ConnectionError):  # it is dead already
        leaving.kill_clients(address, samples.messages(model)[0], clients=times)


ATTACKS: Mapping[str, Callable[[str, Samples, str, int], None]] = {
    "classification of a text output": classify_text,
    "expiries": expire,
    "cancellations": cancel,
    "killed clients": kill,
}


def fates(repository: Path, *, times: int) -> dict[str, str]:
    """Of each attack, done to each ensemble in turn, what became of a Triton that had nothing else to do."""
    return {name: _fate(repository, attack, times=times) for name, attack in ATTACKS.items()}


def _fate(repository: Path, attack: Callable[[str, Samples, str, int], None], *, times: int) -> str:
    with EmbeddedServer(repository) as server:
        samples = Samples(server.grpc_address, server.models)
        for number, model in zip(itertools.count(1), samples.ensembles, strict=False):
            attack(server.grpc_address, samples, model, times)
            try:
                server.wait(timeout=1)
            except ServerDied as error:
                how = str(error).partition(";")[0]
                return f"{how}, on ensemble {number} of {len(samples.ensembles)}"
        return f"it survived on all {len(samples.ensembles)} ensembles"
