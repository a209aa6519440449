"""One client, four transports: over gRPC, over gRPC by asyncio, in the own process, from a recording.

Every call is made by the client over gRPC first, which records it. The others are to answer the same: in
every bit, as the server's engine and the local one are the same, where a request is computed alone; where
requests may share a batch, within what batches differ by (`TOLERANCE`).
"""

import contextlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from deploy.gateway.operation.service import GatewayServer
from qface_client import AsyncFaceClient, FaceClient
from qface_client._photos.kinds import Photo
from qface_client.local import LocalFaceClient
from qface_client.recorded import Replayed
from tests.helpers.client_calls import Failure, InLoop, outcome, plain
from tests.helpers.paths import ROOT

REPOSITORY = ROOT / "var" / "test" / "repository"
NETWORK = ROOT / "weights" / "qface-tiny.onnx"  # from which it is assembled
ASSETS = ROOT / "tests" / "assets"
PORTRAIT = ASSETS / "astronaut.jpg"
OTHERS = ("async", "local", "replayed")

# Of fp32: far within what the acceptance gate allows an engine (weights/qface-tiny.onnx.json).
TOLERANCE = 1e-3

Call = Callable[[FaceClient], Any]


def pixels(path: Path, *, width: int) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        small = picture.convert("RGB").resize((width, width * picture.height // picture.width))
    return np.asarray(small, dtype=np.uint8)


def encoded(image: NDArray[np.uint8], kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, format=kind)
    return file.getvalue()


FACE = pixels(PORTRAIT, width=256)
BOX = (80, 20, 150, 100)  # about the face in FACE
EYES_TO_MOUTH = ((97, 52), (125, 50), (112, 67), (100, 82), (124, 80))
PAIR = np.hstack([FACE, FACE[:, ::-1]])
WALL = np.full((240, 320, 3), 190, np.uint8)
CROPS = np.stack([np.roll(FACE[:112, 60:172], shift, axis=1) for shift in range(3)])
MANY_CROPS = np.stack([CROPS[0, :48, :40]] * 33)  # one more than the largest batch

ANSWERED: dict[str, Call] = {
    "analyze a path": lambda client: client.analyze(PORTRAIT),
    "analyze a path as text, of one task": lambda client: client.analyze(str(PORTRAIT), "age"),
    "analyze the bytes of a PNG": lambda client: client.analyze(encoded(FACE, "PNG")),
    "analyze the bytes of a WebP": lambda client: client.analyze(encoded(FACE, "WEBP"), ["gender"]),
    "analyze an array of two faces": lambda client: client.analyze(PAIR, tasks=["expression", "head_pose"]),
    "analyze tasks of a generator": lambda client: client.analyze(FACE, tasks=iter(["parsing", "landmarks"])),
    "analyze no task": lambda client: client.analyze(FACE, tasks=[]),
    "analyze no face": lambda client: client.analyze(WALL),
    "analyze the best face": lambda client: client.analyze(PAIR, max_faces=1),
    "analyze sure faces": lambda client: client.analyze(PAIR, tasks=["age"], min_score=0.99),
    "analyze small faces": lambda client: client.analyze(PAIR, tasks=["age"], min_face=0.12),
    "analyze first of all": lambda client: client.analyze(FACE, tasks=["age"], priority=1),
    "analyze within a time of its own": lambda client: client.analyze(FACE, tasks=["age"], timeout=120),
    "analyze by a network": lambda client: client.analyze(FACE, tasks=["age"], model="qface"),
    "detect": lambda client: client.detect(PAIR),
    "detect with a search": lambda client: client.detect(PAIR, min_score=0.6, max_faces=1, min_face=0.12),
    "detect no face": lambda client: client.detect(WALL),
    "analyze_face, all of a picture": lambda client: client.analyze_face(FACE),
    "analyze_face in a box": lambda client: client.analyze_face(
        FACE, box=BOX, tasks=["landmarks", "parsing"]
    ),
    "analyze_face by its landmarks": lambda client: client.analyze_face(FACE, landmarks=EYES_TO_MOUTH),
    "analyze_face of one task": lambda client: client.analyze_face(PORTRAIT, tasks="age"),
    "analyze_crop of an array": lambda client: client.analyze_crop(CROPS[0]),
    "analyze_crop of a file": lambda client: client.analyze_crop(encoded(CROPS[0], "PNG"), ["visibility"]),
    "analyze_crops": lambda client: client.analyze_crops(CROPS, ["expression", "landmarks"]),
    "analyze_crops of a list": lambda client: client.analyze_crops([CROPS[0], CROPS[1]], model="qface"),
    "analyze_crops of another size": lambda client: client.analyze_crops(CROPS[:, :90], ["attributes"]),
    "analyze_crops of more than a batch": lambda client: client.analyze_crops(MANY_CROPS, ["age"]),
    "analyze_crops of none": lambda client: client.analyze_crops([]),
    "contract": lambda client: client.contract().to_json(),
    "contract of a network": lambda client: client.contract(model="qface").to_json(),
    "models": lambda client: client.models(),
    "notice": lambda client: client.notice(),
    "precision": lambda client: client.precision(timeout=30),
    "is_ready": lambda client: client.is_ready(timeout=30),
}

CUT_SHORT = PORTRAIT.read_bytes()[:3000]
REFUSED: dict[str, tuple[str, Call]] = {
    "no picture": ("InvalidInput", lambda client: client.analyze(b"no picture at all")),
    "a picture cut short": ("InvalidInput", lambda client: client.analyze(CUT_SHORT)),
    "a picture cut short, to detect": ("InvalidInput", lambda client: client.detect(CUT_SHORT)),
    "a picture cut short, of a face": ("InvalidInput", lambda client: client.analyze_face(CUT_SHORT)),
    "no bytes": ("InvalidInput", lambda client: client.analyze(b"")),
    "no file": ("InvalidInput", lambda client: client.analyze("nowhere.jpg")),
    "an unknown task": ("UnknownTask", lambda client: client.analyze(FACE, tasks=["mood"])),
    "an unknown task of a face": ("UnknownTask", lambda client: client.analyze_face(FACE, tasks="mood")),
    "an unknown network": ("UnknownModel", lambda client: client.analyze(FACE, model="other")),
    "contract of an unknown network": ("UnknownModel", lambda client: client.contract(model="other")),
    "a score above 1": ("InvalidInput", lambda client: client.analyze(FACE, min_score=1.5)),
    "a score that is none": ("InvalidInput", lambda client: client.analyze(FACE, min_score=float("nan"))),
    "a score in words": ("InvalidInput", lambda client: client.analyze(FACE, min_score="high")),  # type: ignore[arg-type]
    "more faces than the limit": ("InvalidInput", lambda client: client.detect(FACE, max_faces=100_000)),
    "no faces": ("InvalidInput", lambda client: client.detect(FACE, max_faces=0)),
    "faces too small": ("InvalidInput", lambda client: client.detect(FACE, min_face=1e-6)),
    "a priority too large": ("InvalidInput", lambda client: client.analyze(FACE, priority=7)),
    "a priority below 0": ("InvalidInput", lambda client: client.analyze(FACE, priority=-1)),
    "a priority for crops": ("InvalidInput", lambda client: client.analyze_crops(CROPS, priority=2)),
    "an endless box": ("InvalidInput", lambda client: client.analyze_face(FACE, box=(0, 0, float("inf"), 9))),
    "an empty box": ("InvalidInput", lambda client: client.analyze_face(FACE, box=(9, 9, 9, 9))),
    "a box beside the photo": (
        "InvalidInput",
        lambda client: client.analyze_face(FACE, box=(900, 0, 999, 9)),
    ),
    "landmarks in one point": (
        "InvalidInput",
        lambda client: client.analyze_face(FACE, landmarks=[(9, 9)] * 5),
    ),
    "two landmarks": ("InvalidInput", lambda client: client.analyze_face(FACE, landmarks=[(9, 9)] * 2)),
    "a crop of floats": ("InvalidInput", lambda client: client.analyze_crops(CROPS / 255)),
    "crops of two sizes": ("InvalidInput", lambda client: client.analyze_crops([CROPS[0], CROPS[0, :50]])),
}
CALLS = ANSWERED | {name: call for name, (_, call) in REFUSED.items()}


def many(client: FaceClient) -> Any:
    photos: list[Photo] = [PORTRAIT, PAIR, b"no picture", WALL, FACE]
    return [
        (result.index, plain(result.analysis) if result.error is None else type(result.error).__name__)
        for result in client.analyze_many(
            iter(photos), tasks=["age", "expression"], concurrency=3, ordered=True
        )
    ]


class Remote:
    """What the client over gRPC gave to every call, and the recording of that."""

    def __init__(self, address: str, recording: Path) -> None:
        self.recording = recording
        with FaceClient(address, record=recording) as client:
            self.outcomes = {name: outcome(call, client, address=address) for name, call in CALLS.items()}
            self.many = many(client)
            self.timings = client.analyze(PORTRAIT).provenance.timings


@pytest.fixture(scope="module")
def remote(server: GatewayServer, tmp_path_factory: pytest.TempPathFactory) -> Remote:
    return Remote(server.grpc_address, tmp_path_factory.mktemp("congruence") / "answers.jsonl")


@pytest.fixture(scope="module")
def clients(server: GatewayServer, remote: Remote) -> Iterator[dict[str, FaceClient]]:
    with contextlib.ExitStack() as opened:
        yield {
            "async": opened.enter_context(InLoop(lambda: AsyncFaceClient(server.grpc_address))),
            "local": opened.enter_context(LocalFaceClient(REPOSITORY)),
            "replayed": opened.enter_context(FaceClient(transport=Replayed(remote.recording))),
        }


@pytest.mark.parametrize("name", ANSWERED)
def test_what_a_server_answers_is_an_answer(remote: Remote, name: str) -> None:
    assert not isinstance(remote.outcomes[name], Failure)


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_server_refuses_is_an_error_of_the_tree(remote: Remote, name: str) -> None:
    refused = remote.outcomes[name]
    assert isinstance(refused, Failure)
    assert (refused.kind, refused.retryable) == (REFUSED[name][0], False)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("name", CALLS)
def test_every_client_answers_and_refuses_alike(
    server: GatewayServer, remote: Remote, clients: dict[str, FaceClient], other: str, name: str
) -> None:
    given = outcome(CALLS[name], clients[other], address=server.grpc_address)
    assert given == remote.outcomes[name]


@pytest.mark.parametrize("other", OTHERS)
def test_many_photos_are_answered_alike(remote: Remote, clients: dict[str, FaceClient], other: str) -> None:
    assert flat(many(clients[other])) == pytest.approx(flat(remote.many), abs=TOLERANCE)


@pytest.mark.parametrize("other", OTHERS)
def test_every_client_states_where_an_answer_comes_from(
    remote: Remote, clients: dict[str, FaceClient], other: str
) -> None:
    client = clients[other]
    provenance = client.analyze(PORTRAIT).provenance
    assert (provenance.model, provenance.contract) == ("photo_analysis", client.contract().hash)
    assert provenance.timings["total"] > 0
    assert other != "replayed" or provenance.timings.keys() == remote.timings.keys()


def test_a_networks_file_answers_as_the_repository_of_it(server: GatewayServer, remote: Remote) -> None:
    with LocalFaceClient(NETWORK) as client:
        for name in (
            "analyze a path",
            "analyze_face of one task",
            "detect",
            "contract",
            "models",
            "precision",
        ):
            given = outcome(CALLS[name], client, address=server.grpc_address)
            assert given == remote.outcomes[name]


def flat(value: Any, at: str = "") -> dict[str, Any]:
    """Every leaf of plain data by its path."""
    if isinstance(value, dict):
        items = [(str(key), item) for key, item in value.items()]
    elif isinstance(value, list | tuple):
        items = [(str(number), item) for number, item in enumerate(value)]
    else:
        return {at: value}
    return {place: leaf for key, item in items for place, leaf in flat(item, f"{at}/{key}").items()}
