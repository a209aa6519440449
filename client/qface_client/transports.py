"""What carries a client's calls to what answers them.

gRPC is one; `FaceClient(transport=...)` takes any other. A transport does two things: it reads a model's
configuration and it sends one inference. When it fails it raises an error of `qface_client.errors`; trying
again, deadlines over several tries and the contract are the client's.

A client calls a transport from several threads at a time. The asyncio client takes a blocking transport too,
and calls it in a thread.
"""

import asyncio
from typing import Protocol, runtime_checkable

from ._exchange.steps import Infer, ReadModel, Reply
from .contract import ModelInfo

__all__ = ["AsyncTransport", "Infer", "ModelInfo", "ReadModel", "Reply", "Transport", "awaitable"]


class Transport(Protocol):
    """Carries the calls of a FaceClient."""

    def read_model(self, step: ReadModel) -> ModelInfo:
        """A model's configuration; NotServed where there is no such model."""
        ...

    def infer(self, step: Infer) -> Reply:
        """The answer to one request."""
        ...

    def close(self) -> None:
        """Free what is held; calls under way may fail."""
        ...


@runtime_checkable
class AsyncTransport(Protocol):
    """Carries the calls of an AsyncFaceClient."""

    async def read_model(self, step: ReadModel) -> ModelInfo:
        """As of `Transport`."""
        ...

    async def infer(self, step: Infer) -> Reply:
        """As of `Transport`."""
        ...

    async def close(self) -> None:
        """As of `Transport`."""
        ...


class _InThread:
    """A blocking transport for the asyncio client."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def read_model(self, step: ReadModel) -> ModelInfo:
        return await asyncio.to_thread(self._transport.read_model, step)

    async def infer(self, step: Infer) -> Reply:
        return await asyncio.to_thread(self._transport.infer, step)

    async def close(self) -> None:
        await asyncio.to_thread(self._transport.close)


def awaitable(transport: Transport | AsyncTransport) -> AsyncTransport:
    """The same transport for the asyncio client."""
    if asyncio.iscoroutinefunction(transport.infer):
        return transport  # type: ignore[return-value]
    return _InThread(transport)  # type: ignore[arg-type]
