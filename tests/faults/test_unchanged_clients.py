"""Clients that know nothing of a gateway work through it as they are."""

import queue
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from deploy.benchmark.load import Samples
from deploy.benchmark.load.sample_requests import CHANNEL
from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient
from tests.helpers.paths import ASTRONAUT, ROOT

EXAMPLES = [ROOT / "client" / "examples" / name for name in ("plain_tritonclient.py", "raw_grpc.py")]


@pytest.fixture(scope="module")
def client(gateway: GatewayServer) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(gateway.grpc_address, channel_args=CHANNEL) as connected:
        yield connected


def test_the_examples_name_what_our_client_names(small_gateway: GatewayServer, tmp_path: Path) -> None:
    address = small_gateway.grpc_address
    with FaceClient(address) as ours:
        (face,) = ours.analyze(ASTRONAUT)
    for example in EXAMPLES:
        command = [sys.executable, "-I", str(example), str(ASTRONAUT), address]
        ended = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
        )
        assert (ended.returncode, ended.stderr) == (0, ""), example
        assert re.findall(r"^  (\w+): ", ended.stdout, flags=re.MULTILINE) == list(face.answers)


def test_every_question_that_tritonclient_has_is_answered(
    gateway: GatewayServer, client: triton.InferenceServerClient, samples: Samples
) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.get_server_metadata().name
    assert {model.name for model in client.get_model_repository_index().models} == set(gateway.models)
    for name in gateway.models:
        assert client.is_model_ready(name)
        assert client.get_model_metadata(name).name == name
        assert client.get_model_config(name).config.name == name
    statistics = client.get_inference_statistics().model_stats
    assert {model.name for model in statistics} == set(gateway.models)
    assert not client.is_model_ready("no_such_model")


def test_a_request_keeps_its_id(
    gateway: GatewayServer, client: triton.InferenceServerClient, samples: Samples
) -> None:
    image = samples.of("crop_analysis", 0).request
    tensor = triton.InferInput("crop", list(image.inputs[0].shape), "UINT8")
    tensor._raw_content = image.raw_input_contents[0]
    assert client.infer("crop_analysis", [tensor], request_id="order-66").get_response().id == "order-66"


def test_asynchronous_calls_and_deadlines_work(
    client: triton.InferenceServerClient, samples: Samples
) -> None:
    sample = samples.of("crop_analysis", 0)
    tensor = triton.InferInput("crop", list(sample.request.inputs[0].shape), "UINT8")
    tensor._raw_content = sample.request.raw_input_contents[0]
    done: queue.Queue[tuple[object, Exception | None]] = queue.Queue()
    started = time.monotonic()
    answered, under_way = 0, 20
    for _ in range(20):
        _ask(client, tensor, done)
    while under_way:
        result, error = done.get(timeout=120)
        if error is None:
            assert isinstance(result, triton.InferResult)
            assert result.get_response().model_name == "crop_analysis"
            answered, under_way = answered + 1, under_way - 1
            continue
        # Twenty at once are more than a slow machine takes: a client that is told so asks again.
        assert isinstance(error, InferenceServerException)
        assert error.status() == "StatusCode.RESOURCE_EXHAUSTED", error
        assert "The server is busy" in error.message()
        assert time.monotonic() - started < 100
        time.sleep(0.1)
        _ask(client, tensor, done)
    assert answered == 20


def _ask(
    client: triton.InferenceServerClient,
    tensor: triton.InferInput,
    done: "queue.Queue[tuple[object, Exception | None]]",
) -> None:
    client.async_infer(
        "crop_analysis", [tensor], lambda result, error: done.put((result, error)), client_timeout=60
    )
