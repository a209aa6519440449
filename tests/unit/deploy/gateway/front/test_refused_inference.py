"""What never reaches Triton, or ends the gateway's own way: a typed refusal, counted by its reason."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front.methods import SERVICE
from deploy.gateway.options import Identity, Limits
from tests.helpers.fronts import RunningFront, crops_request, endless, error_of, with_front

INFER = f"/{SERVICE}/ModelInfer"


def test_what_validation_refuses_never_reaches_the_authority_and_is_counted_by_its_reason() -> None:
    async def test(running: RunningFront) -> None:
        request = crops_request()
        request.outputs.add(name="label").parameters["classification"].int64_param = 1
        error = await error_of(running.service.ModelInfer(request))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        error = await error_of(running.service.ModelInfer(v2.ModelInferRequest(model_name="nowhere")))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        error = await error_of(running.channel.unary_unary(INFER)(b"\xff"))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert not running.authority.admitted
        assert running.authority.turned_away == [
            ("crops", "parameter"),
            ("", "unknown_model"),
            ("", "invalid"),
        ]

    with_front(test)


def test_a_request_that_does_not_come_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_READ_SECONDS", "_SMALL_READ_SECONDS"):
        monkeypatch.setattr(f"deploy.gateway.front.front.{name}", 0.1)

    async def test(running: RunningFront) -> None:
        for method in ("ModelInfer", "ModelConfig", "ServerLive"):
            error = await error_of(running.channel.stream_unary(f"/{SERVICE}/{method}")(endless()))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "did not arrive within 0.1 seconds" in (error.details() or "")

    with_front(test)


def test_calls_without_a_request_make_room_for_others() -> None:
    async def test(running: RunningFront) -> None:
        idle = {
            asyncio.ensure_future(error_of(running.channel.stream_unary(INFER)(endless()))) for _ in range(8)
        }
        ended: set[asyncio.Task[grpc.aio.AioRpcError]] = set()
        while len(ended) < 6:  # two of them may wait
            done, idle = await asyncio.wait(idle, return_when=asyncio.FIRST_COMPLETED)
            ended |= done
        await running.service.ModelInfer(crops_request())
        done, idle = await asyncio.wait(idle, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == len(idle) == 1
        for task in ended | done:
            assert task.result().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "grpc-retry-pushback-ms" in dict(task.result().trailing_metadata())
        for task in idle:
            task.cancel()

    with_front(test, limits=Limits(connections=8 + 3))


def test_a_call_without_a_request_is_refused() -> None:
    async def test(running: RunningFront) -> None:
        error = await error_of(running.channel.stream_unary(INFER)(iter(())))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT

    with_front(test)


def test_a_stranger_is_refused_before_the_request_is_read(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("")
    keys.chmod(0o600)

    async def test(running: RunningFront) -> None:
        error = await error_of(running.channel.stream_unary(INFER)(endless()))
        assert error.code() is grpc.StatusCode.UNAUTHENTICATED
        assert running.authority.turned_away == [("", "no_key")]

    with_front(test, identity=Identity(keys=keys))


def test_what_grpc_itself_finds_too_large_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.gateway.front.front._SPARE_BYTES", 0)

    async def test(running: RunningFront) -> None:
        error = await error_of(running.channel.unary_unary(INFER)(bytes(100_000)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in (error.details() or "")
        call = running.channel.unary_unary(INFER)(bytes(100_000), compression=grpc.Compression.Gzip)
        error = await error_of(call)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not running.authority.admitted

    with_front(test, limits=Limits(request_bytes=1000))


def test_a_timeout_that_passes_in_the_queue_is_counted() -> None:
    async def test(running: RunningFront) -> None:
        running.authority.admission.clear()
        request = crops_request()
        request.parameters["timeout"].int64_param = 100_000
        error = await error_of(running.service.ModelInfer(request))
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert running.authority.turned_away == [("crops", "timeout")]
        assert not running.authority.finished

    with_front(test)


def test_what_is_too_large_is_invalid_as_another_try_can_t_help() -> None:
    async def test(running: RunningFront) -> None:
        data = crops_request().SerializeToString() + bytes(2000)
        error = await error_of(running.channel.unary_unary(INFER)(data))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "may have 1000" in (error.details() or "")
        assert running.authority.turned_away == [("", "request_bytes")]

    with_front(test, limits=Limits(request_bytes=1000))


def test_a_mistake_of_the_gateways_own_is_internal_and_one_line_without_the_request(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(request: Any, served: Any) -> None:
        raise KeyError(request.id)

    monkeypatch.setattr("deploy.gateway.front.inference.validate", broken)

    async def test(running: RunningFront) -> None:
        error = await error_of(running.service.ModelInfer(crops_request(id="secret")))
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "KeyError" in (error.details() or "")
        assert "secret" not in (error.details() or "")

    with caplog.at_level(logging.ERROR):
        with_front(test)
    (line,) = [record.getMessage() for record in caplog.records if record.name.startswith("deploy")]
    assert f"KeyError at {Path(__file__).name}" in line
    assert "secret" not in line


def test_a_mistake_while_a_request_is_with_triton_gives_its_ticket_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*arguments: Any, **named: Any) -> int:
        raise KeyError("faces")

    monkeypatch.setattr("deploy.gateway.front.inference.faces_in", broken)

    async def test(running: RunningFront) -> None:
        error = await error_of(running.service.ModelInfer(crops_request()))
        assert error.code() is grpc.StatusCode.INTERNAL
        assert len(running.authority.finished) == 1
        assert running.front.in_flight == 0

    with_front(test)
