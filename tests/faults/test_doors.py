"""What is no request at all, on either port: noise, another protocol, slow and idle connections."""

import contextlib
import http.client
import random
import time
from collections.abc import Iterator

import pytest

from deploy.benchmark.load import Samples, half_open, http2
from deploy.benchmark.load.half_open import connected, send
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.bystanders import ask, unharmed

SECONDS = 30.0
IDLE = 1000


def endpoint(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


BODIES = {
    "brackets": b"[" * 200_000,
    "shape": b'{"inputs":[{"name":"crop","datatype":"UINT8","shape":[4611686018427387904],"data":[1]}]}',
    "big": b'{"inputs":[' + b'{"name":"x","data":[1,2,3]},' * 800_000 + b"{}]}",
}
PATHS = (
    "/v2/models/face_analysis/infer",
    "/v2/repository/models/face_analysis/unload",
    "/v2/systemsharedmemory/region/a/register",
    "/v2/logging",
    "/v2/trace/setting",
    "/metrics",
)


@pytest.mark.parametrize("body", BODIES)
def test_what_killed_tritons_http_door_is_refused_by_the_pages(
    gateway: GatewayServer, samples: Samples, body: str
) -> None:
    with unharmed(gateway, samples):
        for path in PATHS:
            connection = http.client.HTTPConnection(*endpoint(gateway.http_address), timeout=SECONDS)
            with contextlib.closing(connection):
                # A server that answers before it has read the whole body may close on the rest.
                with contextlib.suppress(ConnectionError):
                    connection.request("POST", path, body=BODIES[body])
                with contextlib.suppress(ConnectionError, http.client.RemoteDisconnected):
                    assert 400 <= connection.getresponse().status < 500, path


@pytest.mark.parametrize(
    "request_line",
    [
        b"GET /../../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000 + b"\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"\x00\xff" * 1000,
    ],
)
def test_damaged_http_ends_in_an_error_or_a_closed_connection(
    gateway: GatewayServer, samples: Samples, request_line: bytes
) -> None:
    with unharmed(gateway, samples), connected(gateway.http_address) as (connection,):
        send(connection, request_line)
        answer = b""
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(4096)
        assert answer == b"" or answer.split(b" ")[1][:1] == b"4", answer[:200]
        assert b"root:" not in answer


def noise() -> Iterator[bytes]:
    chance = random.Random(3)
    for size in (1, 9, 100, 10_000, 1_000_000):
        yield chance.randbytes(size)
        yield http2.PREFACE + chance.randbytes(size)
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"POST /v2/models/face_analysis/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n[[[[["
    yield http2.PREFACE + http2.frame(4, 0, 0) + http2.frame(0, 0, 1, bytes(16_384)) * 10  # data of no call
    yield http2.PREFACE + http2.frame(4, 0, 0) + http2.frame(1, 4, 1, b"\xff" * 1000)  # headers that are none
    yield http2.PREFACE + b"\xff\xff\xff" + bytes(6)  # a frame of 16 MB


def test_what_is_no_grpc_on_the_grpc_port_harms_nobody(gateway: GatewayServer, samples: Samples) -> None:
    with unharmed(gateway, samples):
        for data in noise():
            with connected(gateway.grpc_address) as (connection,):
                send(connection, data)
                connection.settimeout(0.1)
                with contextlib.suppress(OSError):
                    connection.recv(4096)


def test_a_message_longer_than_its_frames_say_is_an_error(gateway: GatewayServer, samples: Samples) -> None:
    """A call that announces 2 GB and ends; one that announces a compression that nobody knows."""
    call = http2.call(b"x" * 100, authority=gateway.grpc_address)
    for changed in (b"\0\x7f\xff\xff\xff", b"\1\0\0\0\x64"):
        with unharmed(gateway, samples), connected(gateway.grpc_address) as (connection,):
            connection.sendall(call.replace(b"\0\0\0\0\x64" + b"x" * 100, changed + b"x" * 100))
            received = b""
            with contextlib.suppress(TimeoutError, ConnectionError):
                while b"grpc-status" not in received and (data := connection.recv(4096)):
                    received += data
            assert received


def test_half_open_and_slow_connections_hold_nobody_up(gateway: GatewayServer, samples: Samples) -> None:
    """Some send nothing, some a byte at a time, some a call without its end."""
    message = samples.of("crop_analysis", 0).request.SerializeToString()
    call = http2.call(message, authority="x")
    with (
        unharmed(gateway, samples),
        half_open.connected(gateway.grpc_address, 20),
        half_open.half_sent(gateway.grpc_address, message, 20),
        half_open.connected(gateway.grpc_address, 10) as slow,
        half_open.connected(gateway.http_address, 10) as slow_pages,
    ):
        to_pages = half_open.byte_by_byte(slow_pages, b"GET /metrics HTTP/1.1")
        for _ in zip(half_open.byte_by_byte(slow, call), to_pages, strict=False):
            time.sleep(0.02)


def test_a_thousand_idle_connections_leave_room_for_others(gateway: GatewayServer, samples: Samples) -> None:
    opening = http2.PREFACE + http2.frame(4, 0, 0)
    with unharmed(gateway, samples), half_open.connected(gateway.grpc_address, IDLE) as idle:
        for connection in idle:
            connection.sendall(opening)
        sample = samples.of("face_analysis", 0)
        assert sample.fits(ask(gateway.grpc_address, sample.request), tolerance=samples.tolerance)


def test_idle_connections_to_the_pages_do_not_shut_out_probes(gateway: GatewayServer) -> None:
    with half_open.connected(gateway.http_address, 200):
        connection = http.client.HTTPConnection(*endpoint(gateway.http_address), timeout=60)
        with contextlib.closing(connection):
            connection.request("GET", "/v2/health/ready")
            assert connection.getresponse().status == 200
