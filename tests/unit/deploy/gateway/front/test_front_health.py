"""The gRPC health protocol says what the authority says, for the server and for each model."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from deploy.gateway.front.health import HEALTH_SERVICE
from deploy.gateway.front.methods import SERVICE
from deploy.gateway.options import Limits
from deploy.gateway.refusals import Refusal
from tests.helpers.fronts import MODELS, RunningFront, endless, error_of, with_front

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


def stub(running: RunningFront) -> Any:
    return health_pb2_grpc.HealthStub(running.channel)


async def status(running: RunningFront, service: str) -> int:
    answer = await stub(running).Check(health_pb2.HealthCheckRequest(service=service))
    return int(answer.status)


def test_the_server_and_its_models_are_serving() -> None:
    async def test(running: RunningFront) -> None:
        for service in ("", SERVICE, "crops", "photos"):
            assert await status(running, service) == SERVING

    with_front(test)


def test_a_sick_model_is_not_serving_and_the_others_are() -> None:
    async def test(running: RunningFront) -> None:
        running.authority.sick["crops"] = "its process died"
        assert await status(running, "crops") == NOT_SERVING
        assert await status(running, "photos") == SERVING
        running.authority.sick[None] = "its process died"
        assert await status(running, "") == NOT_SERVING
        assert await status(running, SERVICE) == NOT_SERVING

    with_front(test)


def test_nothing_is_serving_before_a_triton_is_ready() -> None:
    async def test(running: RunningFront) -> None:
        for service in ("", SERVICE, "crops"):
            assert await status(running, service) == NOT_SERVING

    with_front(test, models=None)


def test_nothing_is_serving_once_the_front_is_closed() -> None:
    async def test(running: RunningFront) -> None:
        await running.front.refuse_new(
            Refusal(grpc.StatusCode.UNAVAILABLE, "stopping", reason="stopping", retry_after=1.0)
        )
        for service in ("", SERVICE, "crops"):
            assert await status(running, service) == NOT_SERVING

    with_front(test)


def test_an_unknown_service_is_not_found() -> None:
    async def test(running: RunningFront) -> None:
        error = await error_of(stub(running).Check(health_pb2.HealthCheckRequest(service="nowhere")))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert "'nowhere'" in (error.details() or "")

    with_front(test)


def test_a_watcher_is_sent_every_change() -> None:
    async def test(running: RunningFront) -> None:
        watch = stub(running).Watch(health_pb2.HealthCheckRequest(service="crops"))
        assert (await watch.read()).status == SERVING
        running.authority.sick["crops"] = "its process died"
        assert (await watch.read()).status == NOT_SERVING
        running.authority.sick.clear()
        assert (await watch.read()).status == SERVING
        watch.cancel()

    with_front(test)


def test_a_watcher_of_a_model_to_come_is_sent_when_it_has_come() -> None:
    async def test(running: RunningFront) -> None:
        watch = stub(running).Watch(health_pb2.HealthCheckRequest(service="later"))
        assert (await watch.read()).status == UNKNOWN
        running.authority.models = None
        assert (await watch.read()).status == NOT_SERVING
        running.authority.models = MODELS
        assert (await watch.read()).status == UNKNOWN
        watch.cancel()

    with_front(test)


def test_watchers_are_bounded_and_one_more_goes_on_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deploy.gateway.front.health.WATCHERS", 2)

    async def test(running: RunningFront) -> None:
        request = health_pb2.HealthCheckRequest()
        watches = [stub(running).Watch(request) for _ in range(2)]
        for watch in watches:
            await watch.read()
        error = await error_of(stub(running).Watch(request).read())
        assert error.code() is grpc.StatusCode.UNIMPLEMENTED
        for watch in watches:
            watch.cancel()
        assert await status(running, "") == SERVING

    with_front(test)


def test_health_checks_without_a_request_make_room_for_others() -> None:
    async def test(running: RunningFront) -> None:
        calls = [running.channel.stream_unary(f"/{HEALTH_SERVICE}/Check")(endless()) for _ in range(8)] + [
            running.channel.stream_stream(f"/{HEALTH_SERVICE}/Watch")(endless()) for _ in range(8)
        ]
        await asyncio.sleep(0.2)
        assert await status(running, "") == SERVING
        for call in calls:
            call.cancel()

    with_front(test, limits=Limits(connections=8))


def test_a_check_is_a_small_message() -> None:
    async def test(running: RunningFront) -> None:
        error = await error_of(stub(running).Check(health_pb2.HealthCheckRequest(service="x" * 100_000)))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT

    with_front(test)
