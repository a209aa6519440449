"""The gRPC channel: its options, how it balances, and the proxy that may stand in its way."""

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from ..errors import InvalidInput
from .access import Tls
from .address import common_name, host_of, is_several, is_this_machine, target_of

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
    # A server that the network lost sends no word that its connections have ended: calls to it would wait for
    # their deadline. With pings they break after 20 s at most, and go to another one.
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 10_000,
}

# Where the address names several servers: each request goes to the next one that is ready by its own word
# (grpc.health.v1, which a server without it need not speak).
_SEVERAL_OPTIONS: dict[str, Any] = {
    "grpc.service_config": json.dumps(
        {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
    ),
    # The name is looked up again when a connection ends; gRPC's own least time in between is 30 s.
    "grpc.dns_min_time_between_resolutions_ms": 5_000,
    # By a proxy the client would see one server.
    "grpc.enable_http_proxy": 0,
}
# gRPC compares a certificate's names with the whole list of addresses, unless this names one.
_CERTIFICATE_NAME = "grpc.ssl_target_name_override"

# Where gRPC looks for a proxy, in its order.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXIES = ("no_grpc_proxy", "no_proxy")


class ChannelSettings:
    """What a channel is opened with; `target_of`'s errors for an address that is none."""

    def __init__(self, url: str, *, tls: Tls | None, options: Mapping[str, Any] | None) -> None:
        self._target = target_of(url)
        merged = dict(_DEFAULT_OPTIONS)
        if is_several(url):
            merged.update(_SEVERAL_OPTIONS)
        if is_this_machine(url):  # a proxy is never the way to this machine
            merged["grpc.enable_http_proxy"] = 0
        merged.update(options or {})
        self._credentials = None
        if tls is not None:
            _name_certificate(merged, url, target=self._target)
            files = {
                name: None if path is None else Path(path).read_bytes()
                for name, path in dataclasses.asdict(tls).items()
            }
            self._credentials = grpc.ssl_channel_credentials(**files)
        self._options = list(merged.items())

    def open(self, library: Any) -> Any:
        """A channel of `library`, grpc or grpc.aio."""
        if self._credentials is None:
            return library.insecure_channel(self._target, options=self._options)
        return library.secure_channel(self._target, self._credentials, options=self._options)


def open_channel(url: str, *, tls: Tls | None, options: Mapping[str, Any] | None, library: Any) -> Any:
    """A channel of `library`, grpc or grpc.aio; `target_of`'s errors for an address that is none."""
    return ChannelSettings(url, tls=tls, options=options).open(library)


def _name_certificate(options: dict[str, Any], url: str, *, target: str) -> None:
    """Say which name the certificates of a list of servers have; InvalidInput where it can't be known."""
    if target != url and _CERTIFICATE_NAME not in options:
        name = common_name(url)
        if name is None:
            raise InvalidInput(
                f"which name all certificates of {url} have can't be known: give it by options="
                f"{{{_CERTIFICATE_NAME!r}: NAME}}, or a name with all these addresses as dns:///NAME:PORT"
            )
        options[_CERTIFICATE_NAME] = name


def proxy_hint(url: str) -> str:
    """The end of a sentence about a server that does not answer: the proxy that stands in between, if any."""
    if is_this_machine(url) or is_several(url) or _goes_past_proxies(host_of(url)):
        return ""
    for name in _PROXIES:
        if value := os.environ.get(name):
            # Without the user and password that it may name.
            return (
                f"; {name} sends gRPC through the proxy {value.rpartition('@')[2]}: put {host_of(url)} into "
                "no_proxy to go past it"
            )
    return ""


def _goes_past_proxies(host: str) -> bool:
    """Whether the environment leaves a host out, by the end of its name as gRPC compares it."""
    listed = next((value for name in _NO_PROXIES if (value := os.environ.get(name))), "")
    return any(host.endswith(end) for part in listed.split(",") if (end := part.strip()))
