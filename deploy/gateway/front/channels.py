"""Channels: connections to the Tritons, over which messages go as the bytes that they are."""

import asyncio
from typing import Any

import grpc

from deploy.gateway.front.methods import SERVICE

# Triton answers or dies; nothing here limits, retries or goes through a proxy.
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)
_KEPT = 4  # Tritons: the active one, its standby, one that drains, and one to spare
_GRACE = 60.0  # seconds for calls to a Triton that several others have replaced


class Channels:
    """One channel for each Triton, made at its first use. For one event loop."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._calls: dict[tuple[str, str], Any] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def call(self, address: str, method: str) -> Any:
        """The multicallable for a method of the service at `address`: bytes in, bytes out."""
        found = self._calls.get((address, method))
        if found is None:
            found = self._channel(address).unary_unary(f"/{SERVICE}/{method}")
            self._calls[address, method] = found
        return found

    async def close(self) -> None:
        """Closes all channels; calls in progress end with CANCELLED."""
        for address in tuple(self._channels):
            await self._forget(address).close()

    def _channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            self._channels[address] = grpc.aio.insecure_channel(address, options=_OPTIONS)
            if len(self._channels) > _KEPT:
                closing = asyncio.ensure_future(self._forget(next(iter(self._channels))).close(_GRACE))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        return self._channels[address]

    def _forget(self, address: str) -> grpc.aio.Channel:
        for key in [key for key in self._calls if key[0] == address]:
            del self._calls[key]
        return self._channels.pop(address)
