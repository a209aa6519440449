"""The gRPC channel: its options, and the proxy that may stand in its way."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import tritonclient.grpc as triton

from ..errors import InvalidInput
from .access import Tls
from .address import host_of, is_this_machine

# tritonclient's defaults, which it drops as soon as one option is given; an answer of more than gRPC's own
# 4 MB would then fail.
_DEFAULT_OPTIONS: dict[str, Any] = {
    "grpc.max_send_message_length": triton.MAX_GRPC_MESSAGE_SIZE,
    "grpc.max_receive_message_length": triton.MAX_GRPC_MESSAGE_SIZE,
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


def client_arguments(url: str, *, tls: Tls | None, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of tritonclient's InferenceServerClient; InvalidInput for an address that is none."""
    if "://" in url or not url.strip():
        raise InvalidInput(
            f"the address is host:port of the server's gRPC, not {url!r}: leave the scheme out"
        )
    merged = dict(_DEFAULT_OPTIONS)
    if is_this_machine(url):  # a proxy is never the way to this machine
        merged["grpc.enable_http_proxy"] = 0
    merged.update(options or {})
    arguments: dict[str, Any] = {"url": url, "channel_args": list(merged.items())}
    if tls is not None:
        arguments["ssl"] = True
        arguments.update({name: path for name, path in dataclasses.asdict(tls).items() if path is not None})
    return arguments


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
