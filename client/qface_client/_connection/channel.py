"""The gRPC channel: its options, and the proxy that may stand in its way."""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from ..errors import InvalidInput
from .access import Tls
from .address import host_of, is_this_machine

_DEFAULT_OPTIONS: dict[str, Any] = {
    # gRPC's own bound of an answer is 4 MB.
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    # gRPC itself sends again only what no server has seen (all other tries are `_retries`'). It keeps what
    # it may have to send again, by default 256 KB: a photo is larger.
    "grpc.enable_retries": 1,
    "grpc.per_rpc_retry_buffer_size": 256 * 1024 * 1024,
    # A server that starts again is found within a second; gRPC's own pause grows to two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 1000,
}

# Where gRPC looks for a proxy, in its order.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")


def open_channel(url: str, *, tls: Tls | None, options: Mapping[str, Any] | None, library: Any) -> Any:
    """A channel of `library`, grpc or grpc.aio; InvalidInput for an address that is none."""
    if "://" in url or not url.strip():
        raise InvalidInput(
            f"the address is host:port of the server's gRPC, not {url!r}: leave the scheme out"
        )
    merged = dict(_DEFAULT_OPTIONS)
    if is_this_machine(url):  # a proxy is never the way to this machine
        merged["grpc.enable_http_proxy"] = 0
    merged.update(options or {})
    if tls is None:
        return library.insecure_channel(url, options=list(merged.items()))
    files = {
        name: None if path is None else Path(path).read_bytes()
        for name, path in dataclasses.asdict(tls).items()
    }
    return library.secure_channel(url, grpc.ssl_channel_credentials(**files), options=list(merged.items()))


def proxy_hint(url: str) -> str:
    """The end of a sentence about a server that does not answer: the proxy that stands in between, if any."""
    if is_this_machine(url):
        return ""
    for name in _PROXIES:
        if value := os.environ.get(name):
            # Without the user and password that it may name.
            return (
                f"; {name} sends gRPC through the proxy {value.rpartition('@')[2]}: put {host_of(url)} into "
                "no_proxy to go past it"
            )
    return ""
