"""What a client takes of its caller: what it sends, and what it refuses before a server sees it."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from qface_client import (
    FaceClient,
    InvalidInput,
)
from tests.helpers.fake_v2_server import (
    FakeServer,
    refuse,
)

PHOTO = np.zeros((80, 100, 3), np.uint8)


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (b"", "empty"),
        (np.zeros((4, 4, 3), np.float32), r"not float32 \[4, 4, 3\]: of values from 0 to 1 give \(255 \*"),
        (np.zeros((4, 4, 3), np.int64), r"not int64 .*give array.astype\(np.uint8\)"),
        (np.zeros((3, 40, 40), np.uint8), r"give np.moveaxis\(array, 0, -1\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), "one by one"),
        (np.zeros(9, np.uint8), r"not uint8 \[9\]"),
        (np.zeros((0, 4, 3), np.uint8), "no pixels"),
        (3, "not int"),
        ("a\0b", "can't be the name of a file"),
    ],
)
def test_what_is_no_photo_never_reaches_the_server(
    fake: FakeServer, url: str, photo: Any, words: str
) -> None:
    with FaceClient(url) as client, pytest.raises(InvalidInput, match=words):
        client.analyze(photo)
    assert fake.reads == fake.infers == 0


def test_a_file_that_cannot_be_read_is_named(url: str, tmp_path: Path) -> None:
    missing, empty = tmp_path / "missing.jpg", tmp_path / "empty.jpg"
    empty.touch()
    with FaceClient(url) as client:
        for path, words in ((missing, "No such file"), (empty, "empty"), (tmp_path, "directory")):
            with pytest.raises(InvalidInput, match=words) as caught:
                client.analyze(path)
            assert caught.value.file == str(path)
            assert str(path) in str(caught.value)


def test_a_file_that_no_server_takes_is_not_read(fake: FakeServer, url: str, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    with path.open("wb") as large:
        large.truncate(64 * 1024 * 1024 + 1)
    with FaceClient(url) as client:
        for photo in (path, path.read_bytes()):
            with pytest.raises(InvalidInput, match="67,108,865 bytes, more than the 67,108,864"):
                client.analyze(photo)
    assert fake.infers == 0


def test_raw_pixels_may_be_larger_than_a_file(fake: FakeServer, url: str) -> None:
    with FaceClient(url) as client:
        client.analyze(np.zeros((5000, 4600, 3), np.uint8))  # 69 MB, as a camera takes them
        with pytest.raises(InvalidInput, match="50,000,000"):
            client.analyze(np.zeros((5001, 10000, 3), np.uint8))


def test_a_file_is_named_once_though_its_name_is_a_word_of_the_sentence() -> None:
    assert str(InvalidInput("the picture is empty", file="picture")) == "picture: the picture is empty"


def test_what_the_server_refuses_names_the_file(fake: FakeServer, url: str, tmp_path: Path) -> None:
    fake.before_infer = refuse(99, grpc.StatusCode.INVALID_ARGUMENT, "this is not a picture")
    path = tmp_path / "letter.jpg"
    path.write_bytes(b"dear sir")
    with (
        FaceClient(url) as client,
        pytest.raises(InvalidInput, match=r"letter\.jpg: this is not a picture") as caught,
    ):
        client.analyze(path)
    assert caught.value.file == str(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"box": (1, 2, 3)}, "four numbers"),
        ({"box": (1, 2, 3, float("nan"))}, "NaN is none"),
        ({"box": "abcd"}, "four numbers"),
        ({"landmarks": [[1, 2]] * 4}, "five points"),
        ({"tasks": [3]}, "not by 3"),
        ({"tasks": 3}, "not by 3"),
    ],
)
def test_a_box_or_landmarks_of_the_wrong_form_never_reach_the_server(
    fake: FakeServer, url: str, arguments: Any, words: str
) -> None:
    with FaceClient(url) as client, pytest.raises(InvalidInput, match=words):
        client.analyze_face(PHOTO, **arguments)
    assert fake.infers == 0


def test_a_number_too_large_for_the_server_is_the_servers_to_refuse(fake: FakeServer, url: str) -> None:
    with FaceClient(url) as client:
        client.analyze_face(PHOTO, box=(0, 0, 1e39, 10))  # warnings are errors in these tests
    assert fake.inputs["box"].ravel().tolist() == [0, 0, float("inf"), 10]


def test_crops_may_be_stacked(fake: FakeServer, url: str) -> None:
    with FaceClient(url) as client:
        assert len(client.analyze_crops(np.zeros((2, 8, 9, 3), np.uint8))) == 2
        assert client.analyze_crops(np.zeros((0, 8, 9, 3), np.uint8)) == []
    assert fake.inputs["crop"].shape == (2, 8, 9, 3)


def test_crops_of_two_sizes_are_refused_by_number(url: str) -> None:
    with FaceClient(url) as client, pytest.raises(InvalidInput, match="crop 1 has 9x8 pixels and crop 0 8x8"):
        client.analyze_crops([np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.uint8)])


def test_crops_go_in_one_request_up_to_the_servers_largest_batch(fake: FakeServer, url: str) -> None:
    crops = [np.full((8, 8, 3), i, np.uint8) for i in range(5)]
    with FaceClient(url) as client:
        assert len(client.analyze_crops(crops[:2])) == 2
        assert fake.infers == 1
        assert fake.inputs["crop"][:, 0, 0, 0].tolist() == [0, 1]
        assert len(client.analyze_crops(crops)) == 5
        assert fake.infers == 4  # the fake's largest batch is 2
        assert client.analyze_crops([]) == []


def test_an_array_travels_without_loss(fake: FakeServer, url: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    with FaceClient(url) as client:
        client.analyze(pixels[:, ::-1])  # a view that is not contiguous
    header, sent = b"P6\n5 7\n255\n", fake.inputs["image"].tobytes()
    assert sent.startswith(header)
    assert sent[len(header) :] == pixels[:, ::-1].tobytes()


def test_no_box_and_no_landmarks_are_sent_as_nan(fake: FakeServer, url: str) -> None:
    with FaceClient(url) as client:
        face = client.analyze_face(PHOTO)
    assert np.isnan(fake.inputs["box"]).all()
    assert np.isnan(fake.inputs["landmarks"]).all()
    assert face.box == (0.0, 0.0, 100.0, 80.0)
