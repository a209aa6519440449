"""Requests that are wrong, or meant to do harm, end in a typed error; nothing dies, nobody else notices."""

import math
import random
from functools import partial

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.benchmark.load import Samples
from deploy.benchmark.load.sample_requests import CHANNEL
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.bystanders import ask, stub_of, unharmed
from tests.helpers.hostile_requests import CHANGES, CLOSED, SERVICE, copies, ended

SECONDS = 60.0  # of each hostile call


@pytest.fixture(scope="module")
def requests(samples: Samples) -> list[v2.ModelInferRequest]:
    """A valid request to every model, that names all outputs."""
    made = []
    for model in samples.by_model:
        request = v2.ModelInferRequest()
        request.CopyFrom(samples.of(model, 0).request)
        request.outputs.extend(
            v2.ModelInferRequest.InferRequestedOutputTensor(name=output.name)
            for output in samples.configs[model].output
        )
        made.append(request)
    return made


def test_a_request_that_names_every_output_is_answered(
    gateway: GatewayServer, requests: list[v2.ModelInferRequest]
) -> None:
    """So that it is the change that is refused below."""
    for request in requests:
        answer = ask(gateway.grpc_address, request)
        assert {output.name for output in answer.outputs} == {output.name for output in request.outputs}


def test_what_can_not_be_used_is_an_invalid_argument_and_never_reaches_triton(
    gateway: GatewayServer, samples: Samples, requests: list[v2.ModelInferRequest]
) -> None:
    accepted = []
    with unharmed(gateway, samples), stub_of(gateway.grpc_address) as stub:
        for change in CHANGES:
            for request in copies(requests, change):
                end = ended(partial(stub.ModelInfer, request, timeout=SECONDS))
                assert len(end.details) < 1000, (change.__name__, len(end.details))
                if end.code is not grpc.StatusCode.INVALID_ARGUMENT:
                    accepted.append((change.__name__, request.model_name, end))
    assert not accepted


@pytest.mark.parametrize(
    ("model", "version"),
    [("no_such_model", ""), ("", ""), ("x" * 2**20, ""), ("../../etc", ""), (None, "99"), (None, "../1")],
)
def test_a_model_that_is_not_there_is_a_typed_error(
    gateway: GatewayServer,
    samples: Samples,
    requests: list[v2.ModelInferRequest],
    model: str | None,
    version: str,
) -> None:
    changed = v2.ModelInferRequest()
    changed.CopyFrom(requests[0])
    changed.model_version = version
    if model is not None:
        changed.model_name = model
    end = ended(lambda: ask(gateway.grpc_address, changed))
    assert end.code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT), end
    assert len(end.details) < 1000


def test_a_method_that_changes_the_server_is_not_open(gateway: GatewayServer, samples: Samples) -> None:
    with unharmed(gateway, samples), stub_of(gateway.grpc_address) as stub:
        ends = {
            method: ended(partial(getattr(stub, method), request, timeout=SECONDS))
            for method, request in CLOSED.items()
        }
    for method, end in ends.items():
        assert end.code is grpc.StatusCode.PERMISSION_DENIED, (method, end)
        assert len(end.details) > 40, f"{method}: a sentence that names what to do"


def test_streams_are_not_implemented(gateway: GatewayServer, requests: list[v2.ModelInferRequest]) -> None:
    with stub_of(gateway.grpc_address) as stub:
        end = ended(lambda: list(stub.ModelStreamInfer(iter(requests), timeout=SECONDS)))
    assert end.code is grpc.StatusCode.UNIMPLEMENTED, end


def test_bytes_that_are_no_request_are_a_typed_error(
    gateway: GatewayServer, samples: Samples, requests: list[v2.ModelInferRequest]
) -> None:
    """Random ones, and every request cut short, or with bytes changed."""
    chance = random.Random(5)
    whole = [request.SerializeToString() for request in requests]
    messages = [chance.randbytes(size) for size in (1, 10, 1000, 100_000) for _ in range(10)]
    messages += [data[: len(data) * part // 7] for data in whole for part in range(1, 7)]
    for data in whole:
        for _ in range(20):
            changed = bytearray(data)
            for _ in range(chance.randint(1, 5)):
                changed[chance.randrange(min(len(changed), 400))] = chance.randrange(256)
            messages.append(bytes(changed))
    codes = set()
    with unharmed(gateway, samples), grpc.insecure_channel(gateway.grpc_address, options=CHANNEL) as channel:
        for method in ("ModelInfer", "ModelConfig", "ModelMetadata", "ModelReady", "ServerLive"):
            call = channel.unary_unary(SERVICE + method)
            for message in messages if method == "ModelInfer" else messages[:40]:
                codes.add(ended(partial(call, message, timeout=SECONDS)).code)
        codes.add(ended(lambda: channel.unary_unary(SERVICE + "NoSuchMethod")(b"", timeout=SECONDS)).code)
        codes.add(ended(lambda: channel.unary_unary("/no.Service/Method")(b"", timeout=SECONDS)).code)
    typed = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "INTERNAL", "RESOURCE_EXHAUSTED"}
    assert {code.name for code in codes} <= typed
    assert grpc.StatusCode.INVALID_ARGUMENT in codes


def test_a_request_beyond_the_bounds_is_refused(gateway: GatewayServer, samples: Samples) -> None:
    """More bytes and more rows than are taken, each its own size."""
    crops = v2.ModelInferRequest()
    crops.CopyFrom(samples.of("crop_analysis", 0).request)
    rows = samples.configs["crop_analysis"].max_batch_size + 1
    crops.inputs[0].shape[0] = rows
    crops.raw_input_contents[0] *= rows
    large = v2.ModelInferRequest()
    large.CopyFrom(samples.of("crop_analysis", 0).request)
    large.inputs[0].shape[1:3] = [10_000, 10_000]
    large.raw_input_contents[0] = bytes(math.prod(large.inputs[0].shape))
    with unharmed(gateway, samples):
        for request in (crops, large):
            end = ended(partial(ask, gateway.grpc_address, request))
            # gRPC itself refuses a message over its own bound before there is a request to validate.
            assert end.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED), end
