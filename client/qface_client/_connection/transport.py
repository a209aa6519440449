"""The transports over gRPC: blocking and asyncio."""

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio

from .._exchange.steps import Infer, Metadata, ReadModel, Reply
from ..contract import ModelInfo
from ..errors import ConnectError, InvalidInput
from .access import Tls, authorization, tls_files
from .channel import ChannelSettings
from .messages import (
    Calls,
    config_request,
    empty_request,
    error_of,
    read_config,
    read_reply,
    request,
    request_parts,
)
from .shared_memory import SharedMemory
from .waiting import wait_for


class _Server:
    """Where calls go, and what goes with each of them; checked before anything is opened."""

    def __init__(
        self,
        url: str,
        *,
        tls: Tls | bool | None,
        api_key: str | None,
        insecure_key: bool,
        options: Mapping[str, Any] | None,
        shared_memory: bool = False,
    ) -> None:
        self.url = url
        files = tls_files(tls)
        self._access = authorization(api_key, url=url, encrypted=files is not None, insecure_key=insecure_key)
        self.channel = ChannelSettings(url, tls=files, options=options)
        self._shared_memory = SharedMemory(url) if shared_memory else None

    def metadata_of(self, step: ReadModel | Infer) -> Metadata:
        return (*self._access, *step.metadata) if step.metadata else self._access

    def shares(self, step: Infer) -> SharedMemory | None:
        """Where a request is left in place of being sent; None: it is sent."""
        if self._shared_memory is None or not self._shared_memory.takes(request_parts(step)):
            return None
        return self._shared_memory

    def close(self) -> None:
        if self._shared_memory is not None:
            self._shared_memory.close()


class GrpcTransport:
    """Calls of the V2 protocol to a server, or to one of several (FaceClient's arguments)."""

    def __init__(self, url: str, **options: Any) -> None:
        self._server = _Server(url, **options)
        self._channel = self._server.channel.open(grpc)
        self._calls = Calls(self._channel)

    def read_model(self, step: ReadModel) -> ModelInfo:
        answered, _ = self._call(self._calls.config, config_request(step), step)
        return read_config(answered)

    def infer(self, step: Infer) -> Reply:
        shared = self._server.shares(step)
        if shared is None:
            return self._infer(step, request(step))
        end = time.monotonic() + step.timeout
        try:
            with shared.holding(request_parts(step)) as region:
                return self._infer(_with_region(step, region), empty_request(step))
        except (InvalidInput, OSError) as error:
            answered = self._infer(_until(step, end), request(step))  # raises where the request is to blame
            shared.stop(error)
            return answered

    def close(self) -> None:
        self._channel.close()
        self._server.close()

    def _infer(self, step: Infer, sent: bytes) -> Reply:
        answered, call = self._call(self._calls.infer, sent, step)
        return read_reply(answered, call.trailing_metadata())

    def _call(self, method: Any, sent: Any, step: ReadModel | Infer) -> tuple[bytes, grpc.Call]:
        try:
            return wait_for(method, sent, timeout=step.timeout, metadata=self._server.metadata_of(step))
        except grpc.RpcError as error:
            failure = error_of(error, url=self._server.url, model=step.model)
            raise failure from error.with_traceback(None)  # in gRPC's frames is the key


class AsyncGrpcTransport:
    """GrpcTransport for asyncio. It belongs to the event loop of its first call; RuntimeError in another."""

    def __init__(self, url: str, **options: Any) -> None:
        self._server = _Server(url, **options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channel: Any = None
        self._calls: Any = None
        self._closed = False

    async def read_model(self, step: ReadModel) -> ModelInfo:
        answered, _ = await self._call(self._opened().config, config_request(step), step)
        return read_config(answered)

    async def infer(self, step: Infer) -> Reply:
        shared = self._server.shares(step)
        if shared is None:
            return await self._infer(step, request(step))
        end = time.monotonic() + step.timeout
        try:
            with shared.holding(request_parts(step)) as region:
                return await self._infer(_with_region(step, region), empty_request(step))
        except (InvalidInput, OSError) as error:
            answered = await self._infer(_until(step, end), request(step))
            shared.stop(error)
            return answered

    async def close(self) -> None:
        self._closed = True
        if self._channel is not None:
            self._check_loop()
            await self._channel.close()
        self._server.close()

    async def _infer(self, step: Infer, sent: bytes) -> Reply:
        answered, call = await self._call(self._opened().infer, sent, step)
        return read_reply(answered, await call.trailing_metadata())

    def _opened(self) -> Calls:
        """The calls of the channel, which is opened by the first of them: a client may be made before its
        event loop runs."""
        if self._channel is None and not self._closed:
            self._loop = asyncio.get_running_loop()
            self._channel = self._server.channel.open(grpc.aio)
            self._calls = Calls(self._channel)
        self._check_loop()
        return self._calls  # type: ignore[no-any-return]

    def _check_loop(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "this AsyncFaceClient belongs to the event loop of its first call, and this is another one: "
                "make one in each event loop"
            )

    async def _call(self, method: Any, sent: Any, step: ReadModel | Infer) -> tuple[bytes, Any]:
        call = method(sent, timeout=step.timeout, metadata=self._server.metadata_of(step))
        try:
            return await call, call
        except grpc.RpcError as error:
            failure = error_of(error, url=self._server.url, model=step.model)
            raise failure from error.with_traceback(None)  # in gRPC's frames is the key
        except asyncio.CancelledError:
            # Closing the channel cancels its calls, which is no cancellation of the tasks that wait for them.
            if self._closed and not _is_cancelled(asyncio.current_task()):
                raise ConnectError("the connection was closed") from None
            raise


def _is_cancelled(task: Any) -> bool:
    """Whether somebody cancels the task; unknown, so False, before Python 3.11."""
    return bool(task.cancelling()) if hasattr(task, "cancelling") else False


def _with_region(step: Infer, region: Metadata) -> Infer:
    return dataclasses.replace(step, metadata=(*step.metadata, *region))


def _until(step: Infer, end: float) -> Infer:
    """The same step, with the time that is left of it."""
    return dataclasses.replace(step, timeout=max(0.001, end - time.monotonic()))
