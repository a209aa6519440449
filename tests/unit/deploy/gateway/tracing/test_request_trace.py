"""Which requests the front traces, and which spans a request has there, a second attempt included."""

import asyncio
import itertools
import secrets
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.identity.keys import hash_of, new_key
from deploy.gateway.options import Identity
from deploy.gateway.tracing.request_trace import UNTRACED, Traces
from runtime.spans import Span, read_header
from tests.helpers.fronts import RunningFront, crops_request, error_of, running_front

PARENT = "b7ad6b7169203331"
METHOD = "inference.GRPCInferenceService/ModelInfer"


def header(trace: str, flags: str = "01") -> tuple[tuple[str, str], ...]:
    return (("traceparent", f"00-{trace}-{PARENT}-{flags}"),)


def spans_of(talk: Any, *, ratio: float = 0.0, **options: Any) -> list[Span]:
    """What a front sends while `talk` speaks to it."""
    sent: list[Span] = []

    async def once() -> None:
        async with running_front(traces=Traces(sent.append, ratio=ratio), **options) as running:
            await asyncio.wait_for(talk(running), timeout=30)
            await running.settled()

    asyncio.run(once())
    return sent


def test_the_ratio_decides_where_no_parent_does() -> None:
    for ratio, count in ((0.0, 0), (1.0, 200)):
        traces = Traces(lambda span: None, ratio=ratio)
        begun = [traces.begin((), name="x") for _ in range(200)]
        assert sum(trace is not UNTRACED for trace in begun) == count
    some = Traces(lambda span: None, ratio=0.5)
    begun = [some.begin((), name="x") for _ in range(1000)]
    assert 400 < sum(trace is not UNTRACED for trace in begun) < 600
    assert len({trace.id for trace in begun if trace is not UNTRACED}) > 400


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_parent_decides_whatever_the_ratio(ratio: float) -> None:
    traces, trace = Traces(lambda span: None, ratio=ratio), secrets.token_hex(16)
    assert traces.begin(header(trace, "00"), name="x") is UNTRACED
    assert traces.begin(header(trace, "01"), name="x").id == trace
    assert traces.begin(header(trace, "01")[:0], name="x").id != trace


def test_triton_gets_the_attempt_as_a_parameter_and_the_client_s_bytes_before_it() -> None:
    request = crops_request(id="7").SerializeToString()
    got: list[bytes] = []

    async def talk(running: RunningFront) -> None:
        call = running.channel.unary_unary(f"/{METHOD}")
        await call(request, metadata=header(secrets.token_hex(16)))
        await call(request)
        got.extend(running.triton.requests)

    sent = spans_of(talk)
    traced, untraced = got
    assert untraced == request
    assert traced.startswith(request)
    message = v2.ModelInferRequest.FromString(traced)
    named = read_header(message.parameters["traceparent"].string_param)
    (attempt,) = [span for span in sent if span.name == "triton"]
    assert named is not None
    assert named[0].span == attempt.id
    del message.parameters["traceparent"]
    assert message == v2.ModelInferRequest.FromString(request)


def test_a_request_that_is_sent_again_shows_both_attempts_and_the_repair_between() -> None:
    async def talk(running: RunningFront) -> None:
        running.triton.errors = [(grpc.StatusCode.UNAVAILABLE, "Socket closed")]
        assert running.authority.where is not None
        running.authority.next_addresses = [running.authority.where]
        await running.service.ModelInfer(crops_request(), metadata=header(secrets.token_hex(16)))
        first, second = map(v2.ModelInferRequest.FromString, running.triton.requests)
        assert first.parameters["traceparent"] != second.parameters["traceparent"]

    sent = spans_of(talk)
    (root,) = [span for span in sent if span.name == METHOD]
    parts = [span for span in sent if span.name in ("triton", "repair")]
    assert [(span.name, span.error) for span in parts] == [
        ("triton", "UNAVAILABLE"),
        ("repair", ""),
        ("triton", ""),
    ]
    assert {span.parent for span in parts} == {root.id}
    assert [span.attributes.get("qface.generation") for span in parts] == [1, None, 2]
    assert root.attributes["qface.outcome"] == "answered"
    assert all(before.end <= after.begin for before, after in itertools.pairwise(parts))


def test_the_model_s_error_is_the_attempt_s_and_counts_as_the_server_s_where_it_is() -> None:
    for code, error in ((grpc.StatusCode.INTERNAL, "INTERNAL"), (grpc.StatusCode.INVALID_ARGUMENT, "")):

        async def talk(running: RunningFront, code: grpc.StatusCode = code) -> None:
            running.triton.errors = [(code, "no crop is good enough")]
            await error_of(
                running.service.ModelInfer(crops_request(), metadata=header(secrets.token_hex(16)))
            )

        sent = spans_of(talk)
        by_name = {span.name: span for span in sent}
        assert by_name["triton"].error == code.name
        assert by_name[METHOD].error == error
        assert by_name[METHOD].attributes["rpc.grpc.status_code"] == code.value[0]
        assert "repair" not in by_name
        assert all("good enough" not in span.line().decode() for span in sent)


def test_a_client_that_leaves_ends_its_request_s_span_and_the_attempt_goes_on() -> None:
    async def talk(running: RunningFront) -> None:
        running.triton.go_on.clear()
        call = running.service.ModelInfer(crops_request(), metadata=header(secrets.token_hex(16)))
        await running.triton.arrived.acquire()
        call.cancel()
        while running.front._calls:
            await asyncio.sleep(0.005)
        running.triton.go_on.set()

    sent = spans_of(talk)
    assert [span.name for span in sent] == ["receive", "queue", METHOD, "triton"]
    assert sent[2].attributes["qface.outcome"] == "abandoned"
    assert sent[2].id == sent[3].parent


def test_a_request_whose_own_timeout_passes_ends_with_that_and_the_attempt_goes_on() -> None:
    async def talk(running: RunningFront) -> None:
        running.triton.go_on.clear()
        request = crops_request()
        request.parameters["timeout"].int64_param = 50_000  # microseconds
        await error_of(running.service.ModelInfer(request, metadata=header(secrets.token_hex(16))))
        running.triton.go_on.set()

    sent = spans_of(talk)
    by_name = {span.name: span for span in sent}
    assert by_name[METHOD].error == "DEADLINE_EXCEEDED"
    assert by_name[METHOD].attributes["qface.reason"] == "timeout"
    assert by_name["triton"].error == ""
    assert by_name["triton"].end > by_name[METHOD].end


def test_a_stranger_s_request_is_not_traced(tmp_path: Any) -> None:
    key, keys = new_key(), tmp_path / "keys.toml"
    keys.write_text(f'[keys.shop]\nsha256 = "{hash_of(key).hex()}"\n')
    keys.chmod(0o600)

    async def talk(running: RunningFront) -> None:
        traced = header(secrets.token_hex(16))
        await error_of(running.service.ModelInfer(crops_request(), metadata=traced))
        await running.service.ModelInfer(
            crops_request(), metadata=(*traced, ("authorization", f"Bearer {key}"))
        )

    sent = spans_of(talk, identity=Identity(keys=keys))
    assert [span.name for span in sent] == ["receive", "queue", "triton", METHOD]
    assert all(key not in span.line().decode() and "shop" not in span.line().decode() for span in sent)
