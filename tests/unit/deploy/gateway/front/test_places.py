"""Calls take places and memory, of which there is so much, and give them back whatever their clients do."""

import asyncio
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.inference import Inference
from deploy.gateway.options import Limits
from tests.helpers.fronts import RunningFront, crops_request, error_of, with_front
from tests.helpers.half_calls import calls_that_read_no_answer, half_sent

MEGABYTE = 1 << 20


def test_answers_that_nobody_reads_keep_no_place_from_others() -> None:
    async def test(running: RunningFront) -> None:
        async with calls_that_read_no_answer(running.address, "ServerLive", 4):
            await asyncio.sleep(0.3)
            for _ in range(4):
                await running.service.ModelInfer(crops_request())

    with_front(test, limits=Limits(connections=4))


def test_more_calls_than_there_are_places_for_are_refused_and_counted() -> None:
    async def test(running: RunningFront) -> None:
        running.triton.go_on.clear()
        calls = []
        for _ in range(3):  # one by one, as few may wait for their requests at a time
            calls.append(running.service.ModelInfer(crops_request()))
            await running.triton.arrived.acquire()
        error = await error_of(running.service.ModelInfer(crops_request()))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "3 calls" in (error.details() or "")
        assert "grpc-retry-pushback-ms" in dict(error.trailing_metadata())
        assert running.authority.turned_away == [("", "connections")]
        assert (await running.service.ServerLive(v2.ServerLiveRequest())).live
        running.triton.go_on.set()
        await asyncio.gather(*calls)
        await running.service.ModelInfer(crops_request())

    with_front(test, limits=Limits(connections=3))


def test_a_connection_that_is_turned_over_costs_no_call_that_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deploy.gateway.front.front._CONNECTION_SECONDS", 1)
    connections: set[str] = set()
    infer = Inference.infer

    async def noted(self: Inference, context: Any) -> bytes:
        connections.add(context.peer())
        return await infer(self, context)

    monkeypatch.setattr(Inference, "infer", noted)

    async def test(running: RunningFront) -> None:
        async def send(until: float) -> None:
            await running.service.ModelInfer(crops_request())
            while asyncio.get_running_loop().time() < until:
                try:
                    await running.service.ModelInfer(crops_request())
                except grpc.aio.AioRpcError as error:
                    # Only one that began in the moment in which the connection ended.
                    if error.code() is not grpc.StatusCode.UNAVAILABLE or "max_age" not in str(error):
                        raise

        running.triton.go_on.clear()  # each caller has a call under way while its connection's time runs out
        asyncio.get_running_loop().call_later(2.0, running.triton.go_on.set)
        until = asyncio.get_running_loop().time() + 4.5
        await asyncio.gather(*(send(until) for _ in range(4)))
        assert len(connections) > 1

    with_front(test)


def test_a_client_that_reads_nothing_loses_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.gateway.front.front._CONNECTION_SECONDS", 1)
    monkeypatch.setattr("deploy.gateway.front.front._LAST_CALLS_SECONDS", 1)

    async def test(running: RunningFront) -> None:
        async with calls_that_read_no_answer(running.address, "ServerLive", 4) as connection:
            await connection.ended()

    with_front(test)


def test_requests_that_are_never_finished_do_not_fill_the_memory() -> None:
    async def test(running: RunningFront) -> None:
        async with half_sent(running.address, "ServerLive", size=100 * MEGABYTE, sent=64 * MEGABYTE) as ended:
            await ended
        assert running.authority.turned_away == [("", "memory")]
        await running.service.ModelInfer(crops_request())

    with_front(test, limits=Limits(waiting_bytes=8 * MEGABYTE))
