"""What a server states of its time comes with the reply, and what it garbles is left out."""

import asyncio
from typing import Any

import numpy as np
import pytest

from qface_client._connection import AsyncGrpcTransport, GrpcTransport
from qface_client._connection.timings import server_timings
from qface_client.transports import Infer, Reply
from tests.helpers.fake_v2_server import FakeServer, classes, contract_of, running

STATED = (("server-timing", "total;dur=12.3, queue;dur=0.4, triton;dur=11.2"),)
STEP = Infer(
    model="photo_analysis", inputs={"image": np.zeros(4, np.uint8)}, outputs=("boxes",), timeout=10.0
)
OPEN: dict[str, Any] = {"tls": False, "api_key": None, "insecure_key": False, "options": None}


def replies(fake: FakeServer) -> list[Reply]:
    """Of the blocking transport and of asyncio's."""

    async def once(url: str) -> Reply:
        transport = AsyncGrpcTransport(url, **OPEN)
        try:
            return await transport.infer(STEP)
        finally:
            await transport.close()

    with running(fake) as url:
        transport = GrpcTransport(url, **OPEN)
        try:
            return [transport.infer(STEP), asyncio.run(once(url))]
        finally:
            transport.close()


def test_both_transports_read_what_is_stated() -> None:
    fake = FakeServer(contract_of(classes("mood", ["glad", "sad"])))
    fake.before_infer = lambda number, context: context.set_trailing_metadata(STATED)
    for reply in replies(fake):
        assert reply.timings == {"total": 12.3, "queue": 0.4, "triton": 11.2}


def test_a_server_that_states_none_is_read_without_them() -> None:
    fake = FakeServer(contract_of(classes("mood", ["glad", "sad"])))
    assert [reply.timings for reply in replies(fake)] == [{}, {}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        (", ;, ;dur=3", {}),
        ("total", {}),
        ("total;desc=all", {}),
        ("total;dur=fast, queue;dur=1", {"queue": 1.0}),
        ("total;dur=nan, queue;dur=inf, triton;dur=-1", {}),
        ('total; desc="all of it" ;dur=2.5', {"total": 2.5}),
        ("total;dur=1e400", {}),
        ("\N{GREEK SMALL LETTER ALPHA};dur=1", {"\N{GREEK SMALL LETTER ALPHA}": 1.0}),
    ],
)
def test_what_is_no_duration_is_left_out(text: str, expected: dict[str, float]) -> None:
    assert server_timings([("server-timing", text)]) == expected


def test_other_metadata_is_passed_over_and_endless_lists_end() -> None:
    others: list[tuple[str, str | bytes]] = [("x-server-timing", "a;dur=1"), ("server-timing", b"b;dur=1")]
    endless = ",".join(f"part{number};dur=1" for number in range(10_000))
    found = server_timings([*others, ("server-timing", endless)])
    assert 0 < len(found) < 100
    assert {"a", "b"}.isdisjoint(found)
