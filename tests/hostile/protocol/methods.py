"""Variants of calls over gRPC: messages that are none, methods that are closed, HTTP/2 at fault."""

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import grpc
from tritonclient.grpc import service_pb2 as v2

from deploy.benchmark.load import http2
from tests.helpers.hostile_requests import CLOSED as CLOSED_METHODS
from tests.helpers.hostile_requests import SERVICE
from tests.hostile.protocol.variant import CLOSED, OK, SECONDS, SILENT, End, Target, Variant, unary

INFER = f"{SERVICE}ModelInfer"
BAD = ("INVALID_ARGUMENT",)
_PATIENCE = 0.2  # seconds for an answer on a connection that stays open

# A message from the valid request's bytes.
Make = Callable[[bytes], bytes]


def calls() -> Iterator[Variant]:
    """All of them."""
    for name, make, codes, words in _messages():
        yield Variant(
            name=f"gRPC, bytes of a message: {name}",
            kind="gRPC, bytes of a message",
            send=_message(INFER, make),
            codes=codes,
            words=words,
        )
    yield from _methods()
    yield from _frames()


def _message(method: str, make: Make) -> Callable[[Target], End]:
    return lambda target: unary(method, make(target.photo.SerializeToString()), target)


def _with(metadata: Sequence[tuple[str, str]]) -> Callable[[Target], End]:
    return lambda target: unary(INFER, target.photo.SerializeToString(), target, metadata)


def _part(part: int) -> Make:
    return lambda data: data[: len(data) * part // 6]


def _and(more: bytes) -> Make:
    return lambda data: data + more


def _replacing(text: bytes, other: bytes) -> Make:
    return lambda data: data.replace(text, other[: len(text)].ljust(len(text)))


def _field(number: int, kind: int, body: bytes) -> bytes:
    tag = number << 3 | kind
    out = bytearray()
    while tag >= 0x80:
        out.append(tag & 0x7F | 0x80)
        tag >>= 7
    return bytes([*out, tag]) + body


def _bytes_field(number: int, body: bytes) -> bytes:
    return _field(number, 2, struct.pack("B", len(body)) + body)


def _nested(depth: int) -> bytes:
    body = b""
    for _ in range(depth):
        body = b"\x0a" + _length(len(body)) + body
    return body


def _length(size: int) -> bytes:
    out = bytearray()
    while size >= 0x80:
        out.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*out, size])


def _messages() -> Iterator[tuple[str, Make, tuple[str, ...], str]]:
    read = "can't be read"
    yield "none", lambda data: b"", ("NOT_FOUND",), "unknown model"
    for part in range(1, 6):
        yield f"cut off at {part} of 6", _part(part), BAD, ""
    yield "the last byte missing", lambda data: data[:-1], BAD, read
    yield "a byte more", lambda data: data + b"\x0a", BAD, read
    yield "an unknown field", lambda data: data + _field(1000, 0, b"\1"), (OK,), ""
    yield "an unknown field of text", lambda data: data + _bytes_field(15, b"text"), (OK,), ""
    yield "unknown fields, 2,000", lambda data: data + _field(999, 0, b"\1") * 2000, BAD, "more than 1024"
    yield (
        "unknown fields nested 1,000 deep",
        lambda data: data + b"\x7a" + _length(len(_nested(1000))) + _nested(1000),
        (OK,),
        "",
    )
    yield (
        "parameters nested 1,000 deep",
        lambda data: data + b"\x22" + _length(len(_nested(1000))) + _nested(1000),
        BAD,
        "",
    )
    yield "a field of number 0", lambda data: data + b"\x02\0", BAD, read
    for kind in (3, 4, 6, 7):
        yield f"wire type {kind}", _and(_field(9, kind, b"\1")), BAD, read
    yield "a number that has no end", lambda data: data + b"\x08" + b"\xff" * 11, BAD, read
    yield "a length of 2^63", lambda data: data + b"\x0a" + b"\xff" * 9 + b"\1", BAD, read
    yield "a name that is no UTF-8", lambda data: data + _bytes_field(1, b"\xff\xfe"), BAD, read
    yield "a second name", lambda data: data + _bytes_field(1, b"another"), ("NOT_FOUND",), "unknown model"
    yield "a shape that is cut off", lambda data: data + _bytes_field(5, b"\x1a\x02\xff\xff"), BAD, ""
    yield "JSON", lambda data: b'{"model_name": "photo_analysis", "inputs": []}', BAD, read
    yield "200,000 brackets", lambda data: b"[" * 200_000, BAD, read
    yield "zeros", lambda data: bytes(1000), BAD, read
    yield "the message twice", lambda data: data + data, BAD, "twice"
    yield (
        "two megabytes of no tensor",
        lambda data: data + _field(77, 2, _length(2**21) + bytes(2**21)),
        BAD,
        ("may have 1048576"),
    )


def _methods() -> Iterator[Variant]:
    kind = "gRPC, methods"

    def variant(name: str, send: Callable[[Target], End], codes: tuple[str, ...], words: str = "") -> Variant:
        return Variant(name=f"{kind}: {name}", kind=kind, send=send, codes=codes, words=words)

    def raw(method: str, data: bytes) -> Callable[[Target], End]:
        return lambda target: unary(method, data, target)

    for method, request in CLOSED_METHODS.items():
        yield variant(method, raw(SERVICE + method, request.SerializeToString()), ("PERMISSION_DENIED",), " ")
        yield variant(f"{method} of noise", raw(SERVICE + method, b"\xff" * 99), ("PERMISSION_DENIED",), " ")
    yield variant("ModelStreamInfer", _stream, ("UNIMPLEMENTED",), "ModelInfer")
    for name in (f"{SERVICE}NoSuchMethod", f"{SERVICE}modelinfer", f"{SERVICE}ModelInfer/", "/x.Y/Z", "/",
                 "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                 "//inference.GRPCInferenceService/ModelInfer"):  # fmt: skip
        yield variant(f"path {name}", raw(name, b""), ("UNIMPLEMENTED",))
    for method in ("ServerLive", "ServerReady", "ServerMetadata", "RepositoryIndex"):
        yield variant(method, raw(SERVICE + method, b""), (OK,))
    asked = v2.ModelMetadataRequest
    for method in ("ModelMetadata", "ModelConfig", "ModelStatistics"):
        for name, version in (("no_such_model", ""), ("../photo_analysis", ""), ("x" * 100_000, ""),
                              ("photo_analysis", "7"), ("photo_analysis", "../1"),
                              ("photo_analysis", "9" * 1000)):  # fmt: skip
            data = asked(name=name, version=version).SerializeToString()
            which = f"{method} of {name[:20]!r} {version[:20]!r}"
            yield variant(which, raw(SERVICE + method, data), ("NOT_FOUND", "INVALID_ARGUMENT"))
        yield variant(f"{method} of noise", raw(SERVICE + method, b"\xff" * 99), BAD)
    for service, code in (
        ("", OK),
        ("photo_analysis", OK),
        ("no_such_service", "NOT_FOUND"),
        ("x" * 9999, "NOT_FOUND"),
    ):
        data = b"\x0a" + _length(len(service)) + service.encode()
        yield variant(f"health of {service[:20]!r}", raw("/grpc.health.v1.Health/Check", data), (code,))
    yield variant("health of noise", raw("/grpc.health.v1.Health/Check", b"\xff" * 9), BAD)


def _stream(target: Target) -> End:
    try:
        list(target.channel.stream_stream(f"{SERVICE}ModelStreamInfer")(iter([b""]), timeout=SECONDS))
    except grpc.RpcError as error:
        return End(code=error.code().name, details=error.details())
    return End(code=OK)


def _frames() -> Iterator[Variant]:
    kind = "gRPC, metadata and HTTP/2"
    for name, metadata, codes in (
        (
            "metadata of 100 kB",
            [("x-large", "v" * 100_000)],
            ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "INTERNAL"),
        ),
        (
            "300 entries of metadata",
            [(f"x-{number}", "v") for number in range(300)],
            (OK, "RESOURCE_EXHAUSTED"),
        ),
        ("a key of four kB where none is wanted", [("authorization", "Bearer " + "k" * 4000)], (OK,)),
        ("a restricted protocol's key", [("triton-grpc-protocol-qface", "guess")], (OK,)),
        ("an encoding that is not known", [("grpc-accept-encoding", "rot13")], (OK,)),
        ("a parent of traces that is none", [("traceparent", "00-zz-zz-zz")], (OK,)),
    ):
        yield Variant(
            name=f"{kind}: {name}",
            kind=kind,
            send=_with(metadata),
            codes=codes,
        )
    for name, change in _http2():
        yield Variant(
            name=f"{kind}: {name}",
            kind=kind,
            send=partial(_exchange, change=change),
            codes=(OK, CLOSED),
        )


def _http2() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    """Changes of a whole call's bytes; the server answers something, or closes."""
    head = len(http2.PREFACE)
    for text, other in (
        (b"application/grpc", b"application/json"),
        (b"application/grpc", b"text/html;\r\nx: y"),
        (b"trailers", b"\0\0\0\0\0\0\0\0"),
    ):
        yield (
            f"{text.decode()} as {other!r}",
            _replacing(text, other),
        )
    yield "GET in place of POST", lambda data: data.replace(b"\x83\x86\x04", b"\x82\x86\x04")
    yield "no path", lambda data: data.replace(b"\x83\x86\x04", b"\x83\x86\x05")
    yield (
        "a compressed message without a compression",
        lambda data: data.replace(b"\0\0\0\0\x40", b"\1\0\0\0\x40"),
    )
    yield "a message of 2 GB announced", lambda data: data.replace(b"\0\0\0\0\x40", b"\0\x7f\xff\xff\xff")
    yield "a message shorter than announced", lambda data: data.replace(b"\0\0\0\0\x40", b"\0\0\0\0\x41")
    yield "a message longer than announced", lambda data: data.replace(b"\0\0\0\0\x40", b"\0\0\0\0\x3f")
    yield "another preface", lambda data: b"PRI * HTTP/3.0" + data[14:]
    yield "no settings", lambda data: data[:head] + data[head + 9 :]
    yield "the same stream again", lambda data: data + data[head + 9 :]
    yield (
        "an even stream",
        lambda data: (
            data[: head + 9] + data[head + 9 :].replace(struct.pack(">I", 1), struct.pack(">I", 2), 1)
        ),
    )
    yield (
        "data before headers",
        lambda data: data[:head] + http2.frame(4, 0, 0) + http2.frame(0, 1, 1, b"x" * 9),
    )
    yield (
        "a frame of a kind that is none",
        lambda data: (
            data[:head] + http2.frame(4, 0, 0) + http2.frame(99, 255, 0, b"x" * 99) + data[head + 9 :]
        ),
    )
    yield "10,000 settings", lambda data: data[:head] + http2.frame(4, 0, 0) * 10_000 + data[head + 9 :]
    yield "10,000 pings", lambda data: data + http2.frame(6, 0, 0, bytes(8)) * 10_000
    yield "10,000 resets", lambda data: data + http2.frame(3, 0, 1, bytes(4)) * 10_000
    yield (
        "windows that overflow",
        lambda data: data[: head + 9] + http2.frame(8, 0, 0, b"\x7f\xff\xff\xff") * 3 + data[head + 9 :],
    )
    yield "a window of 0", lambda data: data + http2.frame(8, 0, 0, bytes(4))
    yield (
        "headers without an end",
        lambda data: (
            data[:head]
            + http2.frame(4, 0, 0)
            + http2.frame(1, 0, 1, b"\x83\x86")
            + http2.frame(9, 0, 1, b"\x40\x01a\x01b" * 3000) * 20
        ),
    )


def _exchange(target: Target, change: Callable[[bytes], bytes]) -> End:
    """OK once a status came back; CLOSED when the server ends the connection, with our end of it at last."""
    host, _, port = target.grpc_address.rpartition(":")
    call = http2.call(bytes(64), authority=target.grpc_address)
    with socket.create_connection((host, int(port)), timeout=_PATIENCE) as connection:
        with contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(change(call))
        received = b""
        for last in (False, True):
            try:
                while data := connection.recv(65536):
                    received += data
                    if b"grpc-status" in received:
                        return End(code=OK)
                return End(code=CLOSED)
            except ConnectionError:
                return End(code=CLOSED)
            except TimeoutError:
                if not last:
                    connection.settimeout(SECONDS)
                    connection.shutdown(socket.SHUT_WR)
    return End(code=SILENT, details=repr(received[:99]))
