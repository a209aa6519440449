"""The way of one inference: what Triton sees, what the client gets, and that every ticket comes back once."""

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc.aio as triton
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.methods import SERVICE
from deploy.gateway.front.request import read_request
from deploy.gateway.refusals import Refusal
from deploy.gateway.work import Ending
from tests.helpers.fronts import RunningFront, crops_request, error_of, with_front

INFER = f"/{SERVICE}/ModelInfer"


def endings(running: RunningFront) -> list[Ending]:
    return [each.ending for each in running.authority.finished]


def test_the_clients_bytes_reach_triton_and_tritons_the_client() -> None:
    async def test(running: RunningFront) -> None:
        answer = v2.ModelInferResponse(model_name="crops", id="7")
        # As no serialiser would write it: what arrives is not made anew.
        running.triton.answer = answer.SerializeToString() + b"\xc2\x3e\x00"
        data = b"\xc2\x3e\x00" + crops_request(id="7").SerializeToString()
        assert await running.channel.unary_unary(INFER)(data) == running.triton.answer
        assert running.triton.requests == [data]
        (finished,) = running.authority.finished
        assert (finished.ending, finished.code) == (Ending.ANSWERED, grpc.StatusCode.OK)

    with_front(test)


def test_a_plain_tritonclient_is_answered() -> None:
    async def test(running: RunningFront) -> None:
        answer = v2.ModelInferResponse(
            model_name="crops", raw_output_contents=[np.array([1, 2], np.float32).tobytes()]
        )
        answer.outputs.add(name="answer", datatype="FP32", shape=[1, 2])
        running.triton.answer = answer.SerializeToString()
        crop = triton.InferInput("crop", [1, 2, 2, 3], "UINT8")
        crop.set_data_from_numpy(np.zeros((1, 2, 2, 3), np.uint8))
        async with triton.InferenceServerClient(running.address) as client:
            for algorithm in (None, "gzip"):
                result = await client.infer(
                    "crops", [crop], client_timeout=10, compression_algorithm=algorithm
                )
                assert result.as_numpy("answer").tolist() == [[1, 2]]

    with_front(test)


def test_work_has_what_the_authority_decides_by() -> None:
    async def test(running: RunningFront) -> None:
        request = crops_request(3)
        request.parameters["priority"].uint64_param = 1
        await running.service.ModelInfer(request, timeout=20)
        await running.service.ModelInfer(crops_request())
        first, second = running.authority.admitted
        assert (first.model, first.cost.rows, first.priority) == ("crops", 3, 1)
        assert first.cost.bytes == request.ByteSize()
        assert first.seconds_left is not None
        assert 10 < first.seconds_left < 21
        assert (second.seconds_left, second.priority, second.client) == (None, 0, "")

    with_front(test)


def test_triton_gets_no_deadline() -> None:
    async def test(running: RunningFront) -> None:
        await running.service.ModelInfer(crops_request(), timeout=20)
        request = crops_request()
        request.parameters["timeout"].int64_param = 20_000_000
        await running.service.ModelInfer(request)
        assert running.triton.deadlines == [None, None]
        assert running.authority.admitted[1].seconds_left == 20

    with_front(test)


async def leave_by_cancelling(running: RunningFront) -> None:
    call = running.service.ModelInfer(crops_request())
    await running.triton.arrived.acquire()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def leave_by_deadline(running: RunningFront) -> None:
    error = await error_of(running.service.ModelInfer(crops_request(), timeout=0.2))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def leave_by_timeout(running: RunningFront) -> None:
    request = crops_request()
    request.parameters["timeout"].int64_param = 200_000
    error = await error_of(running.service.ModelInfer(request))
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "timeout of 200000 microseconds" in (error.details() or "")


async def leave_by_closing_the_connection(running: RunningFront) -> None:
    channel = grpc.aio.insecure_channel(running.address, options=[("grpc.use_local_subchannel_pool", 1)])
    call = channel.unary_unary(INFER)(crops_request().SerializeToString())
    await running.triton.arrived.acquire()
    await channel.close()
    with pytest.raises(asyncio.CancelledError):
        await call


WAYS_TO_LEAVE = [leave_by_cancelling, leave_by_deadline, leave_by_timeout, leave_by_closing_the_connection]


@pytest.mark.parametrize("leave", WAYS_TO_LEAVE, ids=lambda way: way.__name__)
def test_a_client_that_leaves_cancels_nothing_and_its_ticket_is_kept_until_triton_answers(leave: Any) -> None:
    async def test(running: RunningFront) -> None:
        running.triton.go_on.clear()
        await leave(running)
        await asyncio.sleep(0.05)
        assert not running.authority.finished
        assert running.front.in_flight == 1
        running.triton.go_on.set()
        await running.settled()
        assert (running.triton.cancelled, running.triton.answered) == (0, 1)
        (finished,) = running.authority.finished
        assert (finished.ending, finished.code) == (Ending.ABANDONED, grpc.StatusCode.OK)
        await running.service.ModelInfer(crops_request())
        assert endings(running) == [Ending.ABANDONED, Ending.ANSWERED]

    with_front(test)


def test_a_client_that_leaves_the_queue_never_reaches_triton() -> None:
    async def test(running: RunningFront) -> None:
        running.authority.admission.clear()
        await error_of(running.service.ModelInfer(crops_request(), timeout=0.1))
        while not running.authority.turned_away:
            await asyncio.sleep(0.005)
        running.authority.admission.set()
        await asyncio.sleep(0.05)
        assert not running.triton.requests
        assert not running.authority.finished
        assert running.authority.turned_away == [("crops", "client_left")]

    with_front(test)


def test_a_request_whose_triton_died_is_sent_again_elsewhere() -> None:
    async def test(running: RunningFront) -> None:
        running.triton.errors = [(grpc.StatusCode.UNAVAILABLE, "Socket closed")]
        running.authority.next_addresses = [running.authority.where or ""]
        await running.service.ModelInfer(crops_request())
        assert running.triton.requests == [crops_request().SerializeToString()] * 2
        (finished,) = running.authority.finished
        assert (finished.ending, finished.ticket.backend) == (Ending.ANSWERED, 2)
        assert len(running.authority.digests) == 1

    with_front(test)


def test_a_triton_that_nobody_reaches_is_a_failure_like_others() -> None:
    async def test(running: RunningFront) -> None:
        alive, running.authority.where = running.authority.where, "unix:/nowhere/grpc:1"
        running.authority.next_addresses = [alive or ""]
        await running.service.ModelInfer(crops_request())
        assert endings(running) == [Ending.ANSWERED]

    with_front(test)


def test_an_abandoned_request_is_not_sent_again() -> None:
    async def test(running: RunningFront) -> None:
        running.triton.go_on.clear()
        await leave_by_cancelling(running)
        running.authority.next_addresses = [running.authority.where or ""]
        running.triton.errors = [(grpc.StatusCode.UNAVAILABLE, "Socket closed")]
        running.triton.go_on.set()
        await running.settled()
        assert len(running.triton.requests) == 1
        assert endings(running) == [Ending.ABANDONED]
        assert len(running.authority.digests) == 1  # a killer is blamed, whether its client waits or not

    with_front(test)


def test_a_models_own_error_is_passed_on() -> None:
    async def test(running: RunningFront) -> None:
        running.triton.errors = [(grpc.StatusCode.INVALID_ARGUMENT, "this is no picture")]
        error = await error_of(running.service.ModelInfer(crops_request()))
        assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "this is no picture")
        (finished,) = running.authority.finished
        assert (finished.ending, finished.code) == (Ending.FAILED, grpc.StatusCode.INVALID_ARGUMENT)

    with_front(test)


def test_a_refusal_of_admission_carries_when_to_try_again() -> None:
    async def test(running: RunningFront) -> None:
        running.authority.refusal = Refusal(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests", reason="queue", retry_after=0.25
        )
        error = await error_of(running.service.ModelInfer(crops_request()))
        assert (error.code(), error.details()) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")
        assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "250"
        assert not running.authority.turned_away  # the authority counts its own

    with_front(test)


def test_grpcs_own_retries_follow_the_pushback() -> None:
    policy = (
        '{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 3, "initialBackoff": "60s", '
        '"maxBackoff": "60s", "backoffMultiplier": 1, "retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}}]}'
    )

    async def test(running: RunningFront) -> None:
        running.authority.refusal = Refusal(
            grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests", reason="queue", retry_after=0.2
        )
        options = [("grpc.service_config", policy), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(running.address, options=options) as channel:
            call = asyncio.ensure_future(
                asyncio.wait_for(channel.unary_unary(INFER)(crops_request().SerializeToString()), 20)
            )
            await asyncio.sleep(0.1)
            running.authority.refusal = None
            await call

    with_front(test)


def test_work_names_its_digest_where_that_is_a_suspect_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.gateway.front.inference._LARGE", 60)

    async def test(running: RunningFront) -> None:
        for rows in (1, 4):  # the second one's digest is computed in a thread
            request = crops_request(rows, id="x")
            digest = read_request(request.SerializeToString()).digest()
            running.authority.suspected = [digest]
            await running.service.ModelInfer(crops_request(rows, id="y"))
            await running.service.ModelInfer(crops_request(5 - rows))
            assert [work.digest for work in running.authority.admitted[-2:]] == [digest, ""]

    with_front(test)


def test_a_closed_front_refuses_what_is_new_and_answers_what_it_has_taken() -> None:
    async def test(running: RunningFront) -> None:
        running.triton.go_on.clear()
        taken = running.service.ModelInfer(crops_request())
        await running.triton.arrived.acquire()
        await running.front.refuse_new(
            Refusal(grpc.StatusCode.UNAVAILABLE, "stopping", reason="stopping", retry_after=1.0)
        )
        error = await error_of(running.service.ModelInfer(crops_request()))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "stopping")
        assert not (await running.service.ServerReady(v2.ServerReadyRequest())).ready
        assert (await running.service.ServerLive(v2.ServerLiveRequest())).live
        running.triton.go_on.set()
        await taken
        assert endings(running) == [Ending.ANSWERED]

    with_front(test)


def test_a_stopped_front_leaves_no_ticket_out() -> None:
    async def test(running: RunningFront) -> None:
        running.triton.go_on.clear()
        call = asyncio.ensure_future(error_of(running.service.ModelInfer(crops_request())))
        await running.triton.arrived.acquire()
        await running.front.stop(0.05)
        await call
        assert endings(running) == [Ending.ABANDONED]

    with_front(test)
