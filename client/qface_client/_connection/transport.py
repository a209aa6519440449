"""The transports over gRPC: blocking and asyncio."""

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio

from .._exchange.steps import Infer, Metadata, ReadModel, Reply
from ..contract import ModelInfo
from ..errors import InvalidInput
from .access import Tls, authorization, tls_files
from .channel import open_channel
from .messages import (
    Calls,
    config_request,
    empty_request,
    error_of,
    model_info,
    reply,
    request,
    request_parts,
)
from .shared_memory import SharedMemory
from .waiting import wait_for


class _Opened:
    """A channel of `library`, grpc or grpc.aio, with what goes with each call."""

    def __init__(
        self,
        url: str,
        *,
        tls: Tls | bool | None,
        api_key: str | None,
        insecure_key: bool,
        options: Mapping[str, Any] | None,
        library: Any,
        shared_memory: bool = False,
    ) -> None:
        self.url = url
        files = tls_files(tls)
        self._access = authorization(api_key, url=url, encrypted=files is not None, insecure_key=insecure_key)
        self.channel = open_channel(url, tls=files, options=options, library=library)
        self.calls = Calls(self.channel)
        self.shared_memory = SharedMemory(url) if shared_memory else None

    def metadata_of(self, step: ReadModel | Infer) -> Metadata:
        return (*self._access, *step.metadata) if step.metadata else self._access

    def shares(self, step: Infer) -> SharedMemory | None:
        """Where a request is left in place of being sent; None: it is sent."""
        if self.shared_memory is None or not self.shared_memory.takes(request_parts(step)):
            return None
        return self.shared_memory

    def close(self) -> None:
        if self.shared_memory is not None:
            self.shared_memory.close()


class GrpcTransport:
    """Calls of the V2 protocol to a server, or to one of several (FaceClient's arguments)."""

    def __init__(self, url: str, **options: Any) -> None:
        self._opened = _Opened(url, library=grpc, **options)

    def read_model(self, step: ReadModel) -> ModelInfo:
        opened = self._opened
        try:
            asked = config_request(step)
            answered, _ = wait_for(
                opened.calls.config, asked, timeout=step.timeout, metadata=opened.metadata_of(step)
            )
            return model_info(answered)
        except grpc.RpcError as error:
            raise error_of(error, url=opened.url, model=step.model) from error

    def infer(self, step: Infer) -> Reply:
        shared = self._opened.shares(step)
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

    def _infer(self, step: Infer, sent: bytes) -> Reply:
        opened = self._opened
        try:
            answered, call = wait_for(
                opened.calls.infer, sent, timeout=step.timeout, metadata=opened.metadata_of(step)
            )
            return reply(answered, call.trailing_metadata())
        except grpc.RpcError as error:
            raise error_of(error, url=opened.url, model=step.model) from error

    def close(self) -> None:
        self._opened.channel.close()
        self._opened.close()


class AsyncGrpcTransport:
    """GrpcTransport for asyncio; made inside the event loop that uses it."""

    def __init__(self, url: str, **options: Any) -> None:
        self._opened = _Opened(url, library=grpc.aio, **options)

    async def read_model(self, step: ReadModel) -> ModelInfo:
        opened = self._opened
        try:
            asked = config_request(step)
            answered = await opened.calls.config(
                asked, timeout=step.timeout, metadata=opened.metadata_of(step)
            )
            return model_info(answered)
        except grpc.RpcError as error:
            raise error_of(error, url=opened.url, model=step.model) from error

    async def infer(self, step: Infer) -> Reply:
        shared = self._opened.shares(step)
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

    async def _infer(self, step: Infer, sent: bytes) -> Reply:
        opened = self._opened
        try:
            call = opened.calls.infer(sent, timeout=step.timeout, metadata=opened.metadata_of(step))
            return reply(await call, await call.trailing_metadata())
        except grpc.RpcError as error:
            raise error_of(error, url=opened.url, model=step.model) from error

    async def close(self) -> None:
        await self._opened.channel.close()
        self._opened.close()


def _with_region(step: Infer, region: Metadata) -> Infer:
    return dataclasses.replace(step, metadata=(*step.metadata, *region))


def _until(step: Infer, end: float) -> Infer:
    """The same step, with the time that is left of it."""
    return dataclasses.replace(step, timeout=max(0.001, end - time.monotonic()))
