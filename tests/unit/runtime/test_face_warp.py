"""face_preprocess with a model that decodes and warps on a GPU: what it sends, and what comes of the rest."""

import importlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.image.align import align_face
from runtime.image.decode import decode_image
from tests.helpers.encoded_pictures import encode
from tests.helpers.fake_backend import Request, Response, Tensor, TritonError, initialize
from tests.helpers.requests import BOX, LANDMARKS, NO_BOX, NO_LANDMARKS, astronaut

SIZE = 64
OUTPUTS = ["pixels", "crop_to_photo", "photo_size"]


def jpeg(number: int = 0, **options: Any) -> bytes:
    return encode(Image.fromarray(np.roll(astronaut(), number, axis=2)), "JPEG", quality=92, **options)


CUT_SHORT = jpeg()[:4000]
# Complete as a file, and no picture for a decoder that is strict about its compressed data.
DAMAGED = jpeg()[:9000] + bytes(2000) + jpeg()[11000:]


def about(*images: bytes, box: Any = NO_BOX, landmarks: Any = LANDMARKS) -> Request:
    """One request about these pictures; shorter ones are filled up with zeros, as clients do it."""
    longest = max(map(len, images))
    data = np.stack([np.frombuffer(image.ljust(longest, b"\0"), np.uint8) for image in images])
    rows = len(images)
    return Request(
        OUTPUTS, image=data, box=np.tile(box, (rows, 1)), landmarks=np.tile(landmarks, (rows, 1, 1))
    )


@pytest.fixture
def step(backend: Any) -> Iterator[Any]:
    model = importlib.import_module("runtime.serving.preprocess").FacePreprocess()
    backend.answer = warp
    initialize(model, inputs=("image", "box", "landmarks"), input_size=str(SIZE), warp_model="face_warp")
    yield model
    model.finalize()


def warp(model: str, outputs: Sequence[str], inputs: dict[str, NDArray[Any]]) -> Response:
    """What face_warp answers."""
    assert (model, list(outputs)) == ("face_warp", ["pixels"])
    warped = importlib.import_module("runtime.serving.warp").warped
    rows = zip(inputs["image"], inputs["window"], inputs["matrix"], strict=True)
    return Response([Tensor("pixels", np.stack([warped(*row) for row in rows]))])


def sent(backend: Any) -> list[int]:
    """How many pictures each call of the model brought it."""
    return [len(inputs["image"]) for _, _, inputs in backend.asked]


def unable(*_: Any) -> Response:
    return Response(error=TritonError("Critical error in pipeline"))


def check(response: Response, data: bytes, *, exactly: bool = False) -> None:
    """That a response has the crop, the map and the size that the step makes without the model."""
    image = decode_image(data)
    wanted, back = align_face(image, landmarks=LANDMARKS, size=SIZE)
    assert not response.has_error(), response.error()
    (pixels,) = response.tensors["pixels"].as_numpy()
    assert np.abs(pixels.astype(int) - wanted).mean() <= (0 if exactly else 1)
    np.testing.assert_array_equal(response.tensors["crop_to_photo"].as_numpy(), back[None])
    assert response.tensors["photo_size"].as_numpy().tolist() == [[image.shape[1], image.shape[0]]]


def test_of_eight_with_a_corrupt_one_seven_are_answered_and_one_is_refused(step: Any, backend: Any) -> None:
    pictures = [jpeg(number) for number in range(8)]
    pictures[3] = CUT_SHORT
    responses = step.execute([about(picture) for picture in pictures])
    assert responses[3].error().code() == TritonError.INVALID_ARG
    assert "cut short" in responses[3].error().message()
    for picture, response in zip(pictures, responses, strict=True):
        if picture is not CUT_SHORT:
            check(response, picture)
    assert sent(backend) == [7], "in one call, without the corrupt one, which would fail all"


def test_what_the_model_does_not_answer_is_decoded_here(step: Any, backend: Any) -> None:
    """A strict decoder fails on one picture, and its server fails the whole batch."""
    backend.answer = unable
    pictures = [jpeg(0), DAMAGED, jpeg(1)]
    responses = step.execute([about(picture) for picture in pictures])
    assert sent(backend) == [3]
    for picture, response in zip(pictures, responses, strict=True):
        check(response, picture, exactly=True)
    assert not backend.logged


def test_pictures_that_decoders_differ_on_are_decoded_here(step: Any, backend: Any) -> None:
    photo = Image.fromarray(astronaut())
    wide = Image.fromarray(astronaut()[..., 0].astype(np.uint16) * 257)
    pictures = [
        encode(photo, "PNG"),
        encode(wide, "PNG"),
        encode(photo, "WEBP", quality=90),
        encode(photo, "PPM"),
        encode(photo.convert("CMYK"), "JPEG"),
        encode(photo, "JPEG", keep_rgb=True),
    ]
    for picture, response in zip(pictures, step.execute([about(each) for each in pictures]), strict=True):
        check(response, picture, exactly=True)
    assert not backend.asked


def test_grey_and_progressive_pictures_are_for_the_model(step: Any, backend: Any) -> None:
    grey = encode(Image.fromarray(astronaut()).convert("L"), "JPEG", quality=92)
    pictures = [grey, jpeg(progressive=True)]
    for picture, response in zip(pictures, step.execute([about(each) for each in pictures]), strict=True):
        check(response, picture)
    assert sent(backend) == [2]


def test_short_pictures_are_not_filled_up_to_the_length_of_far_longer_ones(step: Any, backend: Any) -> None:
    short = encode(Image.fromarray(astronaut()), "JPEG", quality=20)
    long = encode(Image.fromarray(np.tile(astronaut(), (3, 3, 1))), "JPEG", quality=95)
    pictures = [short, long, short, long]
    for picture, response in zip(pictures, step.execute([about(each) for each in pictures]), strict=True):
        check(response, picture)
    lengths = [inputs["image"].shape for _, _, inputs in backend.asked]
    assert sorted(lengths) == sorted([(2, len(short)), (2, len(long))])


def test_very_long_pictures_go_in_several_calls(
    step: Any, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [jpeg(number) for number in range(5)]
    module = importlib.import_module("runtime.serving.preprocess")
    monkeypatch.setattr(module, "_CALL_BYTES", 2 * max(map(len, pictures)) + 100)
    for picture, response in zip(pictures, step.execute([about(each) for each in pictures]), strict=True):
        check(response, picture)
    assert sent(backend) == [2, 2, 1]


def test_the_rows_of_one_request_are_joined_in_order(step: Any, backend: Any) -> None:
    pictures = [jpeg(0), encode(Image.fromarray(astronaut()), "PNG"), jpeg(2)]
    (response,) = step.execute([about(*pictures)])
    assert sent(backend) == [2]
    for pixels, picture in zip(response.tensors["pixels"].as_numpy(), pictures, strict=True):
        wanted, _ = align_face(decode_image(picture), landmarks=LANDMARKS, size=SIZE)
        assert np.abs(pixels.astype(int) - wanted).mean() <= 1


def test_a_wrong_row_is_named_and_a_wrong_box_is_the_sender_s_fault(step: Any, backend: Any) -> None:
    rows, box = step.execute(
        [
            about(jpeg(), CUT_SHORT),
            about(jpeg(), box=BOX + 5000, landmarks=NO_LANDMARKS),
        ]
    )
    assert rows.error().code() == TritonError.INVALID_ARG
    assert rows.error().message().startswith("row 1 (of 0 to 1): ")
    assert box.error().code() == TritonError.INVALID_ARG
    assert "outside the picture" in box.error().message()
    assert not backend.asked


def test_a_network_whose_crops_the_model_does_not_make_is_refused_at_the_start(backend: Any) -> None:
    model = importlib.import_module("runtime.serving.preprocess").FacePreprocess()
    with pytest.raises(ValueError, match="makes aligned crops only"):
        initialize(model, input_size=str(SIZE), crop="box", warp_model="face_warp")
