"""The transports over gRPC: blocking and asyncio."""

from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio

from .._exchange.steps import Infer, Metadata, ReadModel, Reply
from ..contract import ModelInfo
from .access import Tls, authorization, tls_files
from .channel import open_channel
from .messages import Calls, config_request, error_of, model_info, reply, request
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
    ) -> None:
        self.url = url
        files = tls_files(tls)
        self._access = authorization(api_key, url=url, encrypted=files is not None, insecure_key=insecure_key)
        self.channel = open_channel(url, tls=files, options=options, library=library)
        self.calls = Calls(self.channel)

    def metadata_of(self, step: ReadModel | Infer) -> Metadata:
        return (*self._access, *step.metadata) if step.metadata else self._access


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
        opened = self._opened
        try:
            sent = request(step)
            answered, call = wait_for(
                opened.calls.infer, sent, timeout=step.timeout, metadata=opened.metadata_of(step)
            )
            return reply(answered, call.trailing_metadata())
        except grpc.RpcError as error:
            raise error_of(error, url=opened.url, model=step.model) from error

    def close(self) -> None:
        self._opened.channel.close()


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
        opened = self._opened
        try:
            sent = request(step)
            call = opened.calls.infer(sent, timeout=step.timeout, metadata=opened.metadata_of(step))
            return reply(await call, await call.trailing_metadata())
        except grpc.RpcError as error:
            raise error_of(error, url=opened.url, model=step.model) from error

    async def close(self) -> None:
        await self._opened.channel.close()
