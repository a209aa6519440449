"""The bytes of one gRPC call over HTTP/2 (RFC 9113, RFC 7541), as a client sends them.

A connection that sends them costs its process no library, so that one process can hold hundreds.
"""

import struct
from collections.abc import Sequence

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
LARGEST = 60_000  # bytes of a message: within what may be sent before the server widens its window (65,535)
_FRAME = 16_384  # bytes of a frame's payload at most
_DATA, _HEADERS, _SETTINGS = 0, 1, 4
_END_STREAM, _END_HEADERS = 1, 4


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def call(
    message: bytes,
    *,
    authority: str,
    method: str = METHOD,
    timeout: str | None = None,
    metadata: Sequence[tuple[str, str]] = (),
) -> bytes:
    """All that a client sends: preface, settings, headers and the message, on stream 1.

    `timeout` is the header grpc-timeout ("200m" are 200 ms), `metadata` are further ones.
    ValueError for a message over LARGEST bytes.
    """
    if len(message) > LARGEST:
        raise ValueError(f"a message of {len(message)} bytes is over {LARGEST}: send a smaller picture")
    headers = (
        b"\x83\x86"  # :method POST, :scheme http, of the static table
        + b"\x04"
        + _text(method)  # :path
        + b"\x01"
        + _text(authority)  # :authority
        + b"\x0f\x10"
        + _text("application/grpc")  # content-type
        + b"\x00"
        + _text("te")
        + _text("trailers")
    )
    if timeout is not None:
        headers += b"\x00" + _text("grpc-timeout") + _text(timeout)
    for name, value in metadata:
        headers += b"\x00" + _text(name) + _text(value)
    body = b"\0" + struct.pack(">I", len(message)) + message
    parts = [body[start : start + _FRAME] for start in range(0, len(body), _FRAME)]
    return (
        PREFACE
        + frame(_SETTINGS, 0, 0)
        + frame(_HEADERS, _END_HEADERS, 1, headers)
        + b"".join(
            frame(_DATA, _END_STREAM if number == len(parts) - 1 else 0, 1, part)
            for number, part in enumerate(parts)
        )
    )


def _text(value: str) -> bytes:
    data = value.encode()
    assert len(data) < 127
    return bytes([len(data)]) + data
