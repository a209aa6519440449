"""The gRPC channel: its options, TLS, and tritonclient's objects in and out of numpy."""

import dataclasses
import ipaddress
import json
import os
from collections.abc import Mapping
from typing import Any

import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from ._exchange import Infer
from .contract import ModelInfo, parse_contract, parse_networks
from .errors import InvalidInput, QFaceError, ServerError, from_grpc

# tritonclient's defaults, which it drops as soon as one option is given; an answer of more than gRPC's own
# 4 MB would then fail.
_DEFAULT_OPTIONS: dict[str, Any] = {
    "grpc.max_send_message_length": triton.MAX_GRPC_MESSAGE_SIZE,
    "grpc.max_receive_message_length": triton.MAX_GRPC_MESSAGE_SIZE,
    # gRPC keeps what it may have to send again, by default 256 KB: a photo is larger.
    "grpc.per_rpc_retry_buffer_size": 256 * 1024 * 1024,
    "grpc.enable_retries": 1,
}

# Where gRPC looks for a proxy, in its order.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")

# UNAVAILABLE is what comes of a connection that can't be made or breaks, a full queue, and a server that
# stops. All of them answered nothing, so that asking again is safe; the deadline still bounds the whole.
_RETRY_UNAVAILABLE = {
    "methodConfig": [
        {
            "name": [{"service": "inference.GRPCInferenceService"}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tls:
    """PEM files of an encrypted connection; `private_key` and `certificate_chain` are for mutual TLS."""

    root_certificates: str | os.PathLike[str] | None = None  # None: those that gRPC finds on the machine
    private_key: str | os.PathLike[str] | None = None
    certificate_chain: str | os.PathLike[str] | None = None


def client_arguments(
    url: str, *, tls: Tls | bool, retries: bool, options: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Arguments of tritonclient's InferenceServerClient; InvalidInput for an address that is none."""
    if "://" in url or not url.strip():
        raise InvalidInput(
            f"the address is host:port of the server's gRPC, not {url!r}: leave the scheme out"
        )
    merged = dict(_DEFAULT_OPTIONS)
    if _is_loopback(url):  # a proxy is never the way to this machine
        merged["grpc.enable_http_proxy"] = 0
    if retries:
        merged["grpc.service_config"] = json.dumps(_RETRY_UNAVAILABLE)
    merged.update(options or {})
    arguments: dict[str, Any] = {"url": url, "channel_args": list(merged.items())}
    if tls:
        files = tls if isinstance(tls, Tls) else Tls()
        arguments["ssl"] = True
        arguments.update({name: path for name, path in dataclasses.asdict(files).items() if path is not None})
    return arguments


def request(step: Infer) -> dict[str, Any]:
    """Arguments of tritonclient's `infer`."""
    inputs = []
    for name, value in step.inputs.items():
        tensor = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
        inputs.append(tensor.set_data_from_numpy(value))
    return {
        "model_name": step.model,
        "inputs": inputs,
        "outputs": [triton.InferRequestedOutput(name) for name in step.outputs],
        "client_timeout": step.timeout,
    }


def answer(result: Any) -> dict[str, NDArray[Any]]:
    """An InferResult's tensors by name, read-only; ServerError if the bytes are not what they say."""
    try:
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}
    except ValueError as error:
        raise ServerError(
            f"the answer's tensors can't be read ({error}): look at the server's log"
        ) from error


def model_info(response: Any) -> ModelInfo:
    """What the client needs of a ModelConfigResponse."""
    config = response.config
    contract = config.parameters["contract"].string_value if "contract" in config.parameters else None
    networks = config.parameters["models"].string_value if "models" in config.parameters else None
    return ModelInfo(
        name=config.name,
        max_batch_size=config.max_batch_size,
        contract=None if contract is None else parse_contract(contract),
        networks=parse_networks(networks) if networks else {},
    )


def error_of(error: InferenceServerException, *, url: str, model: str) -> QFaceError:
    """tritonclient's only exception as one of ours."""
    return from_grpc(
        str(error.status() or ""), str(error.message() or ""), url=url, model=model, hint=proxy_hint(url)
    )


def proxy_hint(url: str) -> str:
    """The end of a sentence about a server that does not answer: the proxy that stands in between, if any."""
    if _is_loopback(url):
        return ""
    for name in _PROXIES:
        if value := os.environ.get(name):
            # Without the user and password that it may name.
            return (
                f"; {name} sends gRPC through the proxy {value.rpartition('@')[2]}: put {_host(url)} into "
                "no_proxy to go past it"
            )
    return ""


def _host(url: str) -> str:
    return url.rpartition(":")[0].strip("[]") or url


def _is_loopback(url: str) -> bool:
    host = _host(url).lower()
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def with_file(error: InvalidInput, file: str | None) -> InvalidInput:
    """The same error, with the file that it is about."""
    return error if file is None or error.file is not None else InvalidInput(str(error), file=file)
