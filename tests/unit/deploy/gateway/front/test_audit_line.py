"""The access log's line: who asked for which tasks about how many faces, and nothing of what was answered."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.front import inference
from deploy.gateway.identity.keys import hash_of, new_key
from deploy.gateway.observability.access_log import AccessLog
from deploy.gateway.options import Identity
from tests.helpers.fake_authority import model, served_models
from tests.helpers.fronts import FP32, STRING, UINT8, RunningFront, error_of, running_front

CONTRACT = {"tasks": [{"name": "mood"}, {"name": "weight"}]}
FACES = model(
    "faces",
    max_batch_size=4,
    input=[{"name": "crop", "data_type": UINT8, "dims": [-1, -1, 3]}],
    output=[
        {"name": "mood_label", "data_type": STRING, "dims": [1]},
        {"name": "weight_value", "data_type": FP32, "dims": [1]},
        {"name": "contract", "data_type": STRING, "dims": [1]},
    ],
    parameters={"contract": {"string_value": json.dumps(CONTRACT)}},
)
PICTURE, LABEL = b"a-picture-of-somebody", b"gloomy"  # the pixels spell it


def request(*outputs: str, rows: int = 2) -> "v2.ModelInferRequest":
    asked = v2.ModelInferRequest(model_name="faces", id="7")
    asked.inputs.add(name="crop", datatype="UINT8", shape=[rows, 1, 7, 3])
    asked.raw_input_contents.append(PICTURE * rows)
    for output in outputs:
        asked.outputs.add(name=output)
    return asked


def logged(
    folder: Path, talk: Callable[[RunningFront], Awaitable[None]], **options: Any
) -> list[dict[str, Any]]:
    """The lines of what `talk` does with a front whose Triton answers with a label."""
    path = folder / "access.jsonl"
    log = AccessLog(path)

    async def once() -> None:
        async with running_front(models=served_models(FACES), access_log=log, **options) as running:
            answer = v2.ModelInferResponse(model_name="faces", raw_output_contents=[LABEL * 2])
            answer.outputs.add(name="mood_label", datatype="BYTES", shape=[2, 1])
            running.triton.answer = answer.SerializeToString()
            await asyncio.wait_for(talk(running), timeout=30)
            await running.settled()

    asyncio.run(once())
    log.close()
    text = path.read_text()
    for secret in (PICTURE, LABEL, b"mood_label", b"weight_value"):
        assert secret.decode() not in text
    return [json.loads(line) for line in text.splitlines()]


def test_a_line_names_the_tasks_that_were_asked_for_and_counts_the_faces(tmp_path: Path) -> None:
    async def talk(running: RunningFront) -> None:
        await running.service.ModelInfer(request("mood_label", "contract"))
        await running.service.ModelInfer(request())

    one, everything = logged(tmp_path, talk)
    assert (one["tasks"], one["faces"], one["model"], one["outcome"]) == (["mood"], 2, "faces", "answered")
    assert everything["tasks"] == ["mood", "weight"]
    assert set(one) == set(everything)


def test_a_line_names_the_key_and_what_it_was_refused(tmp_path: Path) -> None:
    key = new_key()
    keys = tmp_path / "keys.toml"
    keys.write_text(f'[keys.camera]\nsha256 = "{hash_of(key).hex()}"\ntasks = ["mood"]\n')
    keys.chmod(0o600)

    async def talk(running: RunningFront) -> None:
        bearer = (("authorization", f"Bearer {key}"),)
        await running.service.ModelInfer(request("mood_label"), metadata=bearer)
        error = await error_of(running.service.ModelInfer(request("weight_value"), metadata=bearer))
        assert error.code() is grpc.StatusCode.PERMISSION_DENIED
        await error_of(running.service.ModelInfer(request("weight_value")))

    answered, refused, stranger = logged(tmp_path, talk, identity=Identity(keys=keys))
    assert (answered["client"], answered["tasks"]) == ("camera", ["mood"])
    assert (refused["client"], refused["tasks"], refused["reason"]) == ("camera", ["weight"], "permission")
    assert (stranger["client"], stranger["tasks"], stranger["reason"]) == ("", [], "no_key")
    assert key not in (tmp_path / "access.jsonl").read_text()


def test_without_a_log_nobody_looks_which_tasks_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(**arguments: Any) -> frozenset[str]:
        raise AssertionError("computed for nothing")

    monkeypatch.setattr(inference, "tasks_of", never)

    async def once() -> None:
        async with running_front(models=served_models(FACES)) as running:
            await running.service.ModelInfer(request("mood_label"))

    asyncio.run(once())
