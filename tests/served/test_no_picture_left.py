"""What was sent and answered is in no log, no file and no shared memory: neither pictures nor keys."""

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from build.config import WEIGHTS
from build.serving_plan import ServingPlan
from build.stages.repository import assemble
from deploy.gateway.operation.service import GatewayServer
from qface_client import FaceClient, QFaceError
from tests.helpers import requests as asking
from tests.helpers.paths import ROOT
from tests.helpers.repositories import FEW_PROCESSES

# Readable, so that it would be found in a log as well as in a memory's bytes.
TOKEN = f"picture-{secrets.token_hex(24)}".encode()
SHARED_MEMORY = Path("/dev/shm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Places:
    """Where one server can leave something."""

    folder: Path  # HOME, temporary files, runtime files
    logs: Path
    key: str


def marked_jpeg() -> bytes:
    """The astronaut, with the token in a comment."""
    portrait = asking.ASTRONAUT.read_bytes()
    comment = b"\xff\xfe" + (len(TOKEN) + 2).to_bytes(2, "big") + TOKEN
    return portrait[:2] + comment + portrait[2:]


def marked_pixels() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Raw pixels that spell the token over and over."""
    crop = np.frombuffer(TOKEN * (112 * 112 * 3 // len(TOKEN) + 1), np.uint8)
    return crop[: 112 * 112 * 3].reshape(112, 112, 3)


def send_everything(address: str, key: str) -> list[str]:
    """Requests that are answered, that a model refuses, that the gateway refuses; gives errors' sentences."""
    errors = []
    photo, cut = marked_jpeg(), marked_jpeg()[:-5000]
    with FaceClient(address, api_key=key) as client:
        assert len(client.analyze(photo)) == 1
        client.analyze_crop(marked_pixels())
        for picture in (cut, TOKEN):
            try:
                client.analyze(picture)
            except QFaceError as error:
                errors.append(str(error))
    headers = {"authorization": f"Bearer {key}"}
    with triton.InferenceServerClient(address) as plain:
        for model, name, data in (
            ("photo_analysis", "image", np.frombuffer(cut, np.uint8)),
            ("photo_analysis", "image", np.frombuffer(photo + TOKEN, np.uint8)[None]),  # a wrong shape
            ("photo_analysis", TOKEN.decode(), np.frombuffer(photo, np.uint8)),  # a wrong name
            (TOKEN.decode(), "image", np.frombuffer(photo, np.uint8)),  # a model that is not served
            ("face_analysis", "image", np.frombuffer(photo, np.uint8)[None]),  # inputs are missing
        ):
            tensor = triton.InferInput(name, data.shape, "UINT8")
            tensor.set_data_from_numpy(data)
            try:
                plain.infer(model, [tensor], headers=headers, client_timeout=60)
            except InferenceServerException as error:
                if TOKEN.decode() not in (model, name):  # who named it so reads it again
                    errors.append(str(error))
        with contextlib.suppress(InferenceServerException):  # and a client that leaves
            tensor = triton.InferInput("image", [len(photo)], "UINT8")
            tensor.set_data_from_numpy(np.frombuffer(photo, np.uint8))
            plain.infer("photo_analysis", [tensor], headers=headers, client_timeout=0.02)
    return errors


def post_everything(address: str, key: str) -> list[str]:
    """The same over REST; gives all that was answered but the answer about the whole photo."""
    answers = []
    for picture in (marked_jpeg(), marked_jpeg()[:-5000], TOKEN):
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/octet-stream"}
        request = urllib.request.Request(f"http://{address}/v1/analyze?tasks=age", picture, headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["faces"]
        except urllib.error.HTTPError as error:
            answers.append(error.read().decode())
    return answers


def pages(address: str) -> bytes:
    """Everything that the HTTP port shows."""
    paths = ("/metrics", "/v2/health/live", "/v2/health/ready")
    return b"".join(urllib.request.urlopen(f"http://{address}{path}", timeout=30).read() for path in paths)


def holding(*tokens: bytes, below: Path) -> list[Path]:
    """The files below a folder that hold one of the tokens."""
    found = []
    for path in below.rglob("*"):
        with contextlib.suppress(OSError):
            if path.is_file():
                content = path.read_bytes()
                found += [path for token in tokens if token in content]
    return found


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is served by default, each model in one process."""
    output = tmp_path_factory.mktemp("served") / "var"
    return assemble(
        ServingPlan(weights=WEIGHTS, precision="fp32", host_settings=FEW_PROCESSES), output=output
    )


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """A place of its own for all that a server writes; this process's environment is as before then."""
    logs = tmp_path_factory.mktemp("logs")
    folder = Path(tempfile.mkdtemp(prefix="q"))  # short: sockets lie in it
    before = dict(os.environ)
    os.environ.update({name: str(folder) for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR")})
    os.environ.pop("XDG_CACHE_HOME", None)
    tempfile.tempdir = None
    made = subprocess.run(
        [sys.executable, "-m", "deploy.gateway", "keys", "add", "shop", "--file", str(logs / "keys.toml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    try:
        yield Places(folder=folder, logs=logs, key=made.stdout.split()[-1])
    finally:
        os.environ.clear()
        os.environ.update(before)
        tempfile.tempdir = None
        shutil.rmtree(folder)


def test_nothing_of_a_picture_or_a_key_stays(repository: Path, places: Places) -> None:
    tokens = (TOKEN, places.key.encode())
    arguments = ["--keys", str(places.logs / "keys.toml"), "--access-log", str(places.logs / "access.jsonl")]
    arguments += ["--log", str(places.logs / "triton.log")]
    with (
        (places.logs / "gateway.log").open("w") as log,
        GatewayServer(repository, rest_port=0, log=log, arguments=arguments) as server,
    ):
        errors = send_everything(server.grpc_address, places.key)
        errors += post_everything(server.rest_address, places.key)
        assert len(errors) >= 6
        shown = "".join(errors).encode() + pages(server.http_address)
        assert [token for token in tokens if token in shown] == []
        assert holding(*tokens, below=places.folder) == []
        # While it runs the picture is in shared memory, which nobody else may read.
        regions = f"qface_{server.pid}_*"
        ours = list(SHARED_MEMORY.glob(regions))
        assert ours
        assert [path for path in ours if path.stat().st_mode & 0o077] == []
    lines = [json.loads(line) for line in (places.logs / "access.jsonl").read_text().splitlines()]
    assert len(lines) == 13
    answered = [line for line in lines if line["outcome"] == "answered"]
    assert len(answered) == 3
    assert {line["client"] for line in answered} == {"shop"}
    assert answered[-1]["tasks"] == ["age"], "over REST"
    assert all(len(line["tasks"]) > 5 and line["faces"] == 1 for line in answered[:-1])
    assert holding(*tokens, below=places.logs) == []
    assert holding(*tokens, below=places.folder) == []
    assert list(SHARED_MEMORY.glob(regions)) == []
    assert holding(*tokens, below=SHARED_MEMORY) == []
