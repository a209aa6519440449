"""face_preprocess calls face_warp in the real server, where that is the CPU's stand-in for the pipeline."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image
from tritonclient.utils import InferenceServerException

from deploy.embedded import EmbeddedServer
from runtime.image.align import align_face
from runtime.image.decode import decode_image
from tests.helpers import requests as asking
from tests.helpers import warp_repository
from tests.helpers.embedded_servers import HURRIED
from tests.helpers.encoded_pictures import encode

SIZE = 112
ROUNDS = 5


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """To a server of the two models alone, as for a GPU, and of another step whose face_warp is missing."""
    repository = warp_repository.write(tmp_path_factory.mktemp("face-warp"))
    with (
        EmbeddedServer(repository, grace=HURRIED) as server,
        triton.InferenceServerClient(server.grpc_address) as connected,
    ):
        yield connected


def preprocess(client: Any, image: bytes, model: str = "face_preprocess") -> dict[str, Any]:
    return asking.ask_about_face(client, model, image, landmarks=asking.LANDMARKS)


def jpeg(number: int) -> bytes:
    return encode(Image.fromarray(np.roll(asking.astronaut(), number, axis=2)), "JPEG", quality=85 + number)


def test_requests_that_come_together_share_its_batches_and_fail_alone(client: Any) -> None:
    pictures = [jpeg(number) for number in range(12)]
    pictures[3] = pictures[3][:5000]  # cut short: seen before anything is called
    while (at := pictures[7].find(b"\xff\xdb")) >= 0:  # no quantisation tables: seen by the decoder alone
        pictures[7] = pictures[7][:at] + pictures[7][at + 2 + int.from_bytes(pictures[7][at + 2 : at + 4]) :]
    pictures[9] = encode(Image.fromarray(asking.astronaut()), "PNG")  # not for face_warp
    answers: dict[int, Any] = {}

    def ask(number: int) -> None:
        try:
            answers[number] = preprocess(client, pictures[number])
        except InferenceServerException as error:
            answers[number] = error

    for _ in range(ROUNDS):  # on a busy machine twelve threads may come one after the other
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(pictures))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (statistics,) = client.get_inference_statistics("face_warp").model_stats
        if statistics.execution_count < statistics.inference_count:
            break
    assert "cut short" in str(answers.pop(3))
    assert "can't be decoded" in str(answers.pop(7))
    for number, answer in answers.items():
        wanted, back = align_face(decode_image(pictures[number]), landmarks=asking.LANDMARKS, size=SIZE)
        assert np.abs(answer["pixels"][0].astype(int) - wanted).mean() < 1, number
        np.testing.assert_array_equal(answer["crop_to_photo"][0], back)
        assert answer["photo_size"].tolist() == [[512, 512]]
    assert statistics.inference_count % 10 == 0
    assert statistics.execution_count < statistics.inference_count


def test_where_it_is_missing_every_picture_is_decoded_all_the_same(client: Any) -> None:
    picture = jpeg(0)
    wanted, _ = align_face(decode_image(picture), landmarks=asking.LANDMARKS, size=SIZE)
    np.testing.assert_array_equal(preprocess(client, picture, warp_repository.LONELY)["pixels"][0], wanted)
