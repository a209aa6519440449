"""deploy.benchmark.overload: what becomes of each request is counted, and put in a table."""

import asyncio
import itertools
from collections import Counter
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.benchmark import overload
from deploy.benchmark.overload import Share, Tally, row

SERVICE = v2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
CODES = (grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)


async def against_a_server(**of_share: Any) -> Tally:
    """The tally of a share sent to a server that answers, refuses and fails in turn."""
    turns = itertools.cycle(CODES)

    async def infer(data: bytes, context: Any) -> bytes:
        assert data == b"request"
        code = next(turns)
        if code is not grpc.StatusCode.OK:
            await context.abort(code, "not now")
        return b""

    server = grpc.aio.server()
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(infer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        share = Share(address=f"127.0.0.1:{port}", request=b"request", deadline=30, **of_share)
        return await overload._send(share)
    finally:
        await server.stop(None)


@pytest.mark.parametrize("of_share", [{"rate": 100.0}, {"clients": 3}], ids=["open", "closed"])
def test_every_request_is_counted_by_its_end(of_share: dict[str, Any]) -> None:
    tally = asyncio.run(against_a_server(seconds=0.5, **of_share))
    assert tally.answered
    assert tally.refused
    assert set(tally.others) == {"INTERNAL"}


def test_arrivals_do_not_wait_for_answers() -> None:
    began: list[float] = []

    async def one(number: int, due: float) -> float:
        began.append(due)
        await asyncio.sleep(3600)
        return 0.0

    async def arrivals() -> None:
        share = Share(address="", request=b"", seconds=0.2, deadline=1, rate=500)
        task = asyncio.create_task(overload._open(one, share, end=asyncio.get_running_loop().time() + 0.2))
        await asyncio.sleep(0.5)
        task.cancel()

    asyncio.run(arrivals())
    gaps = [late - early for early, late in itertools.pairwise(began)]
    assert len(began) > 10
    assert max(gaps) > 2 * min(gaps), "they come at even distances"


def test_tallies_of_several_processes_are_one() -> None:
    parts = [Tally(answered=[0.1], others=Counter(INTERNAL=1)), Tally(answered=[0.2], refused=[0.01])]
    whole = sum(parts, Tally())
    assert whole == Tally(answered=[0.1, 0.2], refused=[0.01], others=Counter(INTERNAL=1))
    line = row("4 x", whole, offered=40, seconds=2)
    assert line == "| 4 x | 40.0 | 1.0 | 0.5 | 1 INTERNAL | 100 | 200 | 200 | 10 |"
