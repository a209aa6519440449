"""What the gateway's front refuses, as our client reads it."""

import asyncio
import json
from pathlib import Path

import grpc
import numpy as np
import pytest

from deploy.gateway.identity.keys import hash_of
from deploy.gateway.options import Identity, Limits
from deploy.gateway.refusals import Refusal, unavailable
from qface_client import (
    AsyncFaceClient,
    FaceClient,
    InvalidInput,
    NotAuthenticated,
    NotPermitted,
    NotServed,
    ServerBusy,
)
from tests.helpers.fake_authority import model, served_models
from tests.helpers.fake_v2_server import classes, contract_of
from tests.helpers.fronts import FP32, STRING, UINT8, RunningFront, with_front

PHOTO = np.zeros((80, 100, 3), np.uint8)
CONTRACT = contract_of(classes("mood", ["glad", "sad"]), classes("hat", ["none", "cap"]))
TASK_OUTPUTS = [
    {"name": f"{task}_{name}", "data_type": data_type, "dims": [-1, -1]}
    for task in ("mood", "hat")
    for name, data_type in (("probabilities", FP32), ("label", STRING))
]
MODELS = served_models(
    model(
        "photo_analysis",
        input=[{"name": "image", "data_type": UINT8, "dims": [-1]}],
        output=[
            {"name": "boxes", "data_type": FP32, "dims": [-1, 4]},
            {"name": "scores", "data_type": FP32, "dims": [-1]},
            {"name": "landmarks", "data_type": FP32, "dims": [-1, 5, 2]},
            {"name": "photo_size", "data_type": FP32, "dims": [2]},
            {"name": "contract", "data_type": STRING, "dims": [1]},
            *TASK_OUTPUTS,
        ],
        parameters={"contract": {"string_value": json.dumps(CONTRACT)}},
    )
)
FULL = Refusal(
    grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests wait", reason="overload", retry_after=0.02
)
STOPPING = unavailable("the server is stopping", reason="stopping", retry_after=0.02)


def test_overload_is_waited_out_until_the_deadline() -> None:
    async def test(running: RunningFront) -> None:
        running.authority.refusal = FULL
        async with AsyncFaceClient(running.address, timeout=1) as client:
            with pytest.raises(ServerBusy, match=r"too many requests wait.* tries") as caught:
                await client.analyze(PHOTO)
        assert caught.value.retry_after == 0.02

    with_front(test, models=MODELS)


def test_a_server_that_is_not_ready_is_waited_for() -> None:
    async def test(running: RunningFront) -> None:
        async with AsyncFaceClient(running.address, timeout=20) as client:
            reading = asyncio.create_task(client.contract())
            await asyncio.sleep(0.3)
            assert not reading.done()
            running.authority.models = MODELS
            assert (await reading).names == ("mood", "hat")

    with_front(test, models=None)


def test_a_server_that_stops_is_busy_rather_than_gone() -> None:
    async def test(running: RunningFront) -> None:
        await running.front.refuse_new(STOPPING)
        with (
            FaceClient(running.address, timeout=0.5) as client,
            pytest.raises(ServerBusy, match="the server is stopping"),
        ):
            await asyncio.to_thread(client.analyze, PHOTO)

    with_front(test, models=MODELS)


def test_an_unknown_model_and_a_picture_too_large_are_tried_once() -> None:
    async def test(running: RunningFront) -> None:
        async with AsyncFaceClient(running.address) as client:
            with pytest.raises(NotServed):
                await client.detect(PHOTO)
            with pytest.raises(InvalidInput):
                await client.analyze(np.zeros((200, 200, 3), np.uint8))
        assert running.authority.admitted == []

    with_front(test, models=MODELS, limits=Limits(request_bytes=100_000))


def test_a_key_opens_its_tasks_and_no_others(tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[keys.camera]\nsha256 = "{hash_of("qface_camera").hex()}"\ntasks = ["mood"]\n')
    keys.chmod(0o600)

    async def test(running: RunningFront) -> None:
        for key in (None, "qface_unknown"):
            async with AsyncFaceClient(running.address, api_key=key) as client:
                with pytest.raises(NotAuthenticated, match="QFACE_API_KEY"):
                    await client.contract()
        running.authority.refusal = FULL  # what passes the front gets this
        async with AsyncFaceClient(running.address, api_key="qface_camera", retries=False) as client:
            assert (await client.contract()).names == ("mood", "hat")
            with pytest.raises(NotPermitted):
                await client.analyze(PHOTO)
            with pytest.raises(ServerBusy):
                await client.analyze(PHOTO, tasks=["mood"])

    with_front(test, models=MODELS, identity=Identity(keys=keys))
