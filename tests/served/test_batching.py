"""Requests of many clients share the engine's batches, and each gets its own face's answer."""

import itertools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from deploy.gateway.operation.service import GatewayServer
from tests.helpers import requests as asking

CLIENTS = 16
ROUNDS = 12
FACES = 24
# OpenVINO may take another kernel for another batch size, which changes the last bits.
TOLERANCE = 1e-5
# In degrees and years the same bits stand for larger numbers.
WIDE_TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def client(server: GatewayServer) -> Iterator[Any]:
    with triton.InferenceServerClient(server.grpc_address) as connected:
        yield connected


def box_of(face: int) -> np.ndarray[Any, Any]:
    """Every other face is sent with a box."""
    return np.array([15, 15, 145, 150], np.float32) if face % 2 else asking.NO_BOX


def ask(client: Any, faces: list[bytes], face: int) -> dict[str, np.ndarray[Any, Any]]:
    return asking.ask_about_face(client, "face_analysis", faces[face], box=box_of(face))


def differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two answers lie so far apart that `assert_same_answer` tells them from one another."""
    return any(
        np.abs(one[name] - other[name]).max()
        > 10 * (TOLERANCE if name.endswith("_probabilities") else WIDE_TOLERANCE)
        for name in one
        if one[name].dtype == np.float32
    )


def assert_same_answer(answered: dict[str, Any], expected: dict[str, Any]) -> None:
    assert set(answered) == set(expected)
    for name, values in expected.items():
        if values.dtype != np.float32:
            assert (answered[name] == values).all(), name
        else:
            tolerance = TOLERANCE if name.endswith("_probabilities") else WIDE_TOLERANCE
            np.testing.assert_allclose(answered[name], values, rtol=0, atol=tolerance, err_msg=name)


def faces_in_a_batch(client: Any, address: str) -> float:
    """The engine's average batch while 16 clients ask, each of which has to get its own answers."""
    faces = asking.faces(FACES)
    alone = [ask(client, faces, face) for face in range(FACES)]
    # Any two faces can be told apart by their answers, or swapped ones would not be noticed below.
    for one, other in itertools.combinations(range(FACES), 2):
        assert differ(alone[one], alone[other]), (one, other)

    start = threading.Barrier(CLIENTS)
    before = asking.engine_counts(client)

    def one_client(number: int) -> None:
        with triton.InferenceServerClient(address) as own:
            start.wait()
            for turn in range(ROUNDS):
                face = (number + 7 * turn) % FACES
                assert_same_answer(ask(own, faces, face), alone[face])

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(one_client, number) for number in range(CLIENTS)]:
            done.result()
    after = asking.engine_counts(client)
    inferences, executions = after[0] - before[0], after[1] - before[1]
    assert inferences == CLIENTS * ROUNDS
    return float(inferences / executions)


def test_16_clients_with_and_without_boxes_share_batches_and_get_their_own_answers(
    client: Any, server: GatewayServer
) -> None:
    """The gateway lets in what keeps this machine busy, which may be a few at a time."""
    assert faces_in_a_batch(client, server.grpc_address) > 1.2


def test_triton_puts_into_a_batch_what_it_has(server: GatewayServer) -> None:
    """Called where the gateway calls it, which then lets in as many as there are."""
    (address,) = [each["address"] for each in server.status()["tritons"] if each["active"]]
    with triton.InferenceServerClient(address) as client:
        assert faces_in_a_batch(client, address) > 2


def test_a_bad_request_in_a_batch_fails_alone(client: Any) -> None:
    faces = asking.faces(CLIENTS)
    expected = [ask(client, faces, face) for face in range(CLIENTS)]
    start = threading.Barrier(CLIENTS)

    def one_client(number: int) -> str:
        start.wait()
        said = ""
        for turn in range(4):
            if (number + turn) % 4:
                assert_same_answer(ask(client, faces, number), expected[number])
                continue
            with pytest.raises(InferenceServerException) as refused:
                asking.ask_about_face(client, "face_analysis", faces[number][:60])
            assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
            said = refused.value.message()
        return said

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert all(pool.map(one_client, range(CLIENTS)))


def test_several_faces_in_one_request_are_answered_in_order(client: Any) -> None:
    portrait = asking.astronaut()
    crop = portrait[20:220, 120:320]
    crops = np.stack([crop, crop[:, ::-1], crop[::-1], 255 - crop, crop[..., ::-1]])
    together = asking.ask(client, "crop_analysis", crop=crops)
    alone = [asking.ask(client, "crop_analysis", crop=crop[None]) for crop in crops]
    assert all(differ(one, other) for one, other in itertools.combinations(alone, 2))
    for number, expected in enumerate(alone):
        answered = {name: values[number : number + 1] for name, values in together.items()}
        assert_same_answer(answered, expected)


def test_encoded_pictures_of_different_length_may_share_a_request(client: Any) -> None:
    """Shorter files are filled up with zeros, as a tensor has one length for all its rows."""
    faces = asking.faces(3)
    length = max(map(len, faces))
    images = np.stack([np.frombuffer(face.ljust(length, b"\0"), np.uint8) for face in faces])
    together = asking.ask(
        client,
        "face_analysis",
        image=images,
        box=np.stack([box_of(face) for face in range(3)]),
        landmarks=np.stack([asking.NO_LANDMARKS] * 3),
    )
    for face in range(3):
        alone = ask(client, faces, face)
        assert_same_answer({name: values[face : face + 1] for name, values in together.items()}, alone)


def test_photos_of_several_clients_are_answered_side_by_side(client: Any) -> None:
    portrait = asking.ASTRONAUT.read_bytes()
    empty = asking.encode(np.full((200, 300, 3), 120, np.uint8))
    expected = {data: asking.ask_about_photo(client, data) for data in (portrait, empty)}

    def one_client(number: int) -> None:
        data = (portrait, empty)[number % 2]
        for _ in range(3):
            assert_same_answer(asking.ask_about_photo(client, data), expected[data])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one_client, range(8)))
