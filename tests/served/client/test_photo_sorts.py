"""A photo of any sort gets the answer of its file, from the real server."""

import asyncio
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deploy.gateway.operation.service import GatewayServer
from qface_client import AsyncFaceClient, FaceClient
from tests.helpers.paths import ASSETS, ASTRONAUT

PICTURE = Image.open(ASTRONAUT).convert("RGB")
GREY = PICTURE.convert("L")


def file_of(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def turned() -> bytes:
    """A TIFF whose pixels lie on their side, with the EXIF orientation that sets them upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return file_of(PICTURE.transpose(Image.Transpose.ROTATE_90), "TIFF", exif=exif)


SORTS: dict[str, Any] = {
    "bytes": file_of(PICTURE, "PNG"),
    "memoryview": memoryview(file_of(PICTURE, "PNG")),
    "file object": lambda: io.BytesIO(file_of(PICTURE, "PNG")),
    "picture of Pillow": PICTURE,
    "array": np.asarray(PICTURE),
    "array with alpha": np.asarray(PICTURE.convert("RGBA")),
    "view of an array": np.asarray(PICTURE)[::-1][::-1],
    "16 bits": np.asarray(PICTURE).astype(np.uint16) * 257,
    "BMP": file_of(PICTURE, "BMP"),
    "TIFF": turned(),
}


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Any:
    with FaceClient(server.grpc_address) as opened:
        yield opened


@pytest.fixture(scope="module")
def as_file(client: FaceClient, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    path.write_bytes(file_of(PICTURE, "PNG"))
    return client.analyze(path).to_json()


@pytest.mark.parametrize("sort", SORTS)
def test_every_sort_gets_the_answer_of_its_file(client: FaceClient, as_file: Any, sort: str) -> None:
    photo = SORTS[sort]
    assert client.analyze(photo() if callable(photo) else photo).to_json() == as_file


def test_grey_is_grey_in_every_sort(client: FaceClient) -> None:
    answers = [client.detect(photo) for photo in (file_of(GREY, "PNG"), GREY, np.asarray(GREY))]
    assert len(answers[0]) == 1
    assert answers[0].to_json() == answers[1].to_json() == answers[2].to_json()


def test_one_face_and_crops_take_every_sort(client: FaceClient) -> None:
    box = (173.0, 69.0, 277.0, 172.0)
    faces = [client.analyze_face(photo, box=box) for photo in (SORTS["bytes"], PICTURE, SORTS["TIFF"])]
    assert faces[0].to_json() == faces[1].to_json() == faces[2].to_json()
    crop = PICTURE.crop((160, 50, 288, 178))
    sorts = [crop, np.asarray(crop), file_of(crop, "PNG"), io.BytesIO(file_of(crop, "BMP"))]
    crops = [face.to_json() for face in client.analyze_crops(sorts)]
    assert all(each == crops[0] for each in crops)
    assert client.analyze_crop(crop).to_json() == client.analyze_crop(np.asarray(crop)).to_json()


def test_many_photos_get_the_answers_of_one(client: FaceClient, server: GatewayServer, as_file: Any) -> None:
    folder = ASSETS / "portraits"
    given: list[Any] = [*sorted(folder.glob("*.jpg")), SORTS["TIFF"], folder / "missing.jpg", PICTURE]
    alone = [client.analyze(path).to_json() for path in given[:-3]]
    results = list(client.analyze_many(iter(given), concurrency=4, ordered=True))
    assert [result.analysis and result.analysis.to_json() for result in results] == [
        *alone,
        as_file,
        None,
        as_file,
    ]
    assert isinstance(results[-2].photo, Path)
    assert "missing.jpg" in str(results[-2].error)

    async def again() -> list[Any]:
        async with AsyncFaceClient(server.grpc_address) as twin:
            return [result async for result in twin.analyze_many(given, concurrency=4, ordered=True)]

    twins = asyncio.run(again())
    assert [result.analysis and result.analysis.to_json() for result in twins] == [
        *alone,
        as_file,
        None,
        as_file,
    ]
