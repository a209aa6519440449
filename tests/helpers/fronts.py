"""A front with a fake Triton behind it, for tests of what passes between client, front and Triton."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2
from tritonclient.grpc import service_pb2_grpc as v2_grpc

from deploy.gateway.front.front import Front
from deploy.gateway.front.memory import give_back
from deploy.gateway.front.methods import SERVICE
from deploy.gateway.front.served_models import ServedModels
from deploy.gateway.identity import Identities
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.options import GatewayOptions, Identity, Limits
from deploy.gateway.tracing.request_trace import Traces
from tests.helpers.fake_authority import FakeAuthority, model, served_models

UINT8, FP32, STRING = 2, 11, 13  # of model_config_pb2.DataType

CROPS = model(
    "crops",
    max_batch_size=4,
    input=[{"name": "crop", "data_type": UINT8, "dims": [-1, -1, 3]}],
    output=[
        {"name": "answer", "data_type": FP32, "dims": [2]},
        {"name": "label", "data_type": STRING, "dims": [1]},
    ],
)
PHOTOS = model(
    "photos",
    input=[{"name": "image", "data_type": UINT8, "dims": [-1]}],
    output=[
        {"name": "size", "data_type": FP32, "dims": [2]},
        {"name": "found", "data_type": FP32, "dims": [-1, 4]},
    ],
)
MODELS = served_models(CROPS, PHOTOS)


class FakeTriton:
    """Answers ModelInfer once `go_on` is set: with `errors` while there are any, then with `answer`."""

    def __init__(self) -> None:
        self.answer: bytes = v2.ModelInferResponse(model_name="crops").SerializeToString()
        self.errors: list[tuple[grpc.StatusCode, str]] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.arrived = asyncio.Semaphore(0)
        self.requests: list[bytes] = []
        self.deadlines: list[float | None] = []
        self.cancelled = 0
        self.answered = 0
        self.other_calls: list[str] = []

    async def infer(self, data: bytes, context: Any) -> bytes:
        self.requests.append(data)
        self.deadlines.append(context.time_remaining())
        self.arrived.release()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.errors:
            await context.abort(*self.errors.pop(0))
        self.answered += 1
        return self.answer

    async def statistics(self, data: bytes, context: Any) -> bytes:
        self.other_calls.append(v2.ModelStatisticsRequest.FromString(data).name)
        return b""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address."""
        server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
        handlers = {
            "ModelInfer": grpc.unary_unary_rpc_method_handler(self.infer),
            "ModelStatistics": grpc.unary_unary_rpc_method_handler(self.statistics),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


class RunningFront:
    """A front, its fake authority and Triton, and a channel to it."""

    def __init__(
        self,
        *,
        front: Front,
        authority: FakeAuthority,
        triton: FakeTriton,
        channel: grpc.aio.Channel,
        address: str,
    ) -> None:
        self.front = front
        self.authority = authority
        self.triton = triton
        self.channel = channel
        self.address = address
        self.service = v2_grpc.GRPCInferenceServiceStub(channel)

    async def settled(self) -> None:
        """Returns once nothing is with Triton."""
        while self.front.in_flight:
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running_front(
    *,
    models: ServedModels | None = MODELS,
    limits: Limits | None = None,
    identity: Identity | None = None,
    access_log: AccessLog | None = None,
    traces: Traces | None = None,
    shared_memory: bool = False,
) -> AsyncIterator[RunningFront]:
    """A front on a free port of loopback."""
    identity = identity or Identity()
    options = GatewayOptions(
        repository=Path(), limits=limits or Limits(), identity=identity, shared_memory=shared_memory
    )
    triton = FakeTriton()
    async with triton.listening() as behind:
        authority = FakeAuthority(models, behind)
        front = Front(
            authority, options=options, identities=Identities(identity), access_log=access_log, traces=traces
        )
        port = await front.start(0)
        address = f"127.0.0.1:{port}"
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
        try:
            async with grpc.aio.insecure_channel(address, options=unlimited) as channel:
                yield RunningFront(
                    front=front, authority=authority, triton=triton, channel=channel, address=address
                )
        finally:
            await front.stop(0.2)


async def endless() -> AsyncIterator[bytes]:
    """Messages of a client that sends none."""
    await asyncio.sleep(60)
    yield b""


def with_front(test: Callable[[RunningFront], Coroutine[Any, Any, None]], **options: Any) -> None:
    """Runs `test` with a front."""

    async def once() -> None:
        async with running_front(**options) as running:
            await asyncio.wait_for(test(running), timeout=30)

    # What other tests freed would be used again, and a front that looks at its growth see none.
    give_back()
    asyncio.run(once())


async def error_of(call: Any) -> grpc.aio.AioRpcError:
    """The error in which a call ends."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def crops_request(rows: int = 1, **fields: Any) -> "v2.ModelInferRequest":
    """A request that CROPS takes."""
    request = v2.ModelInferRequest(model_name="crops", **fields)
    request.inputs.add(name="crop", datatype="UINT8", shape=[rows, 2, 2, 3])
    request.raw_input_contents.append(bytes(range(12)) * rows)
    return request
