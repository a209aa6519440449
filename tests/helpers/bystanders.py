"""Clients that do nothing wrong, beside which a gateway is attacked; all their requests have to end well."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.benchmark.load import Load, Samples, mixed_clients
from deploy.benchmark.load.clients import MakeSender
from deploy.benchmark.load.sample_requests import CHANNEL, picture

# Seconds: what a request has on a machine that is four times slower, and repairs meanwhile.
DEADLINE = 60.0
CROP = picture(99, size=64)


@contextlib.contextmanager
def stub_of(address: str) -> Iterator[Any]:
    """Plain gRPC stubs on a connection of their own."""
    with grpc.insecure_channel(address, options=CHANNEL) as channel:
        yield v2_grpc.GRPCInferenceServiceStub(channel)


def senders(address: str, samples: Samples) -> list[MakeSender]:
    """Eight clients of three sorts; the last two try again."""
    return mixed_clients(address, samples, deadline=DEADLINE)


@contextlib.contextmanager
def unharmed(
    gateway: Any, samples: Samples, *, pause: float = 0.2, same_triton: bool = True
) -> Iterator[Load]:
    """Eight clients go on meanwhile; none of their requests may be lost or wrong, and nothing may have died.

    gateway         a GatewayServer
    pause           seconds between a client's requests
    same_triton     whether what happens may not cost a Triton either
    """
    before = (gateway.pid, gateway.triton_pid if same_triton else None)
    with Load(senders(gateway.grpc_address, samples), deadline=DEADLINE, pause=pause) as load:
        load.wait_for(8, timeout=4 * DEADLINE)
        yield load
        load.wait_for(8, timeout=4 * DEADLINE)
    assert not unhappy(load), (load.summary, unhappy(load)[:3])
    assert (gateway.pid, gateway.triton_pid if same_triton else None) == before


def unhappy(load: Load) -> list[Any]:
    """The requests that were lost, answered with what is not theirs, or refused as if they were wrong."""
    return [outcome for outcome in load.outcomes if outcome.harmed]


def eventually(holds: Callable[[], bool], *, seconds: float = 120.0) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def ask(address: str, request: v2.ModelInferRequest, *, timeout: float = DEADLINE) -> v2.ModelInferResponse:
    """The answer to a request on a connection of its own; grpc.RpcError otherwise."""
    with stub_of(address) as stub:
        return stub.ModelInfer(request, timeout=timeout)
