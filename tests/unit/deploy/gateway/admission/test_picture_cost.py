"""A request's cost is read from its pictures' headers; what can't be decoded is refused with the reason."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from tritonclient.grpc import service_pb2 as v2

from deploy.benchmark.load.picture_bombs import progressive
from deploy.gateway.admission import picture_cost
from deploy.gateway.admission.picture_cost import PictureCosts, cost_of
from deploy.gateway.front.request import InferRequest, read_request
from deploy.gateway.options import Limits
from deploy.gateway.refusals import Refusal
from runtime.errors import InvalidImage
from runtime.image.decode import decode_image
from tests.helpers.encoded_pictures import encode, png
from tests.helpers.fake_authority import model, served_models

UINT8, FP32 = 2, 11  # of model_config_pb2.DataType

PHOTOS = model("photos", input=[{"name": "photo", "data_type": UINT8, "dims": [-1]}], output=[])
FACES = model(
    "faces",
    max_batch_size=8,
    input=[
        {"name": "photo", "data_type": UINT8, "dims": [-1]},
        {"name": "box", "data_type": FP32, "dims": [4]},
    ],
    output=[],
)
CROPS = model(
    "crops",
    max_batch_size=8,
    input=[{"name": "crop", "data_type": UINT8, "dims": [-1, -1, 3]}],
    output=[],
)
MODELS = served_models(PHOTOS, FACES, CROPS)


def request(name: str, *arrays: tuple[str, np.ndarray[Any, Any]]) -> InferRequest:
    message = v2.ModelInferRequest(model_name=name)
    for tensor, values in arrays:
        datatype = "UINT8" if values.dtype == np.uint8 else "FP32"
        message.inputs.add(name=tensor, datatype=datatype, shape=values.shape)
        message.raw_input_contents.append(values.tobytes())
    return read_request(message.SerializeToString())


def photo_request(data: bytes) -> InferRequest:
    return request("photos", ("photo", np.frombuffer(data, np.uint8)))


def faces_request(rows: Sequence[bytes]) -> InferRequest:
    length = max(map(len, rows))
    photos = np.stack([np.frombuffer(row.ljust(length, b"\0"), np.uint8) for row in rows])
    return request("faces", ("photo", photos), ("box", np.zeros((len(rows), 4), np.float32)))


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8))


def test_a_photo_costs_its_pixels_and_a_decoder_s_passes_over_them(photo: Image.Image) -> None:
    data = encode(photo, "JPEG")
    cost = cost_of(photo_request(data), MODELS, Limits())
    assert (cost.rows, cost.pixels, cost.scan_pixels) == (1, 2400, 2400)
    assert len(data) < cost.bytes < len(data) + 100
    cost = cost_of(photo_request(encode(photo, "JPEG", progressive=True)), MODELS, Limits())
    assert (cost.pixels, cost.scan_pixels) == (2400, 12800)


def test_all_rows_of_a_batch_are_counted(photo: Image.Image) -> None:
    rows = [encode(photo, "JPEG"), encode(photo.resize((30, 20)), "JPEG", progressive=True)]
    cost = cost_of(faces_request(rows), MODELS, Limits())
    assert (cost.rows, cost.pixels, cost.scan_pixels) == (2, 3000, 5600)


def test_a_batch_costs_no_more_than_a_few_of_the_dearest_pictures() -> None:
    """Each of its rows would be taken, and all together hold everybody up."""
    row = progressive(width=1000, height=1000, scans=20)
    limits = Limits(scan_megapixels=25)
    assert cost_of(faces_request([row] * 4), MODELS, limits).rows == 4
    with pytest.raises(Refusal, match=r"the 8 pictures of the batch.*several requests") as caught:
        cost_of(faces_request([row] * 8), MODELS, limits)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_raw_pixels_are_no_encoded_picture() -> None:
    cost = cost_of(request("crops", ("crop", np.zeros((3, 5, 4, 3), np.uint8))), MODELS, Limits())
    assert (cost.rows, cost.pixels, cost.scan_pixels) == (3, 0, 0)


def bad_pictures() -> dict[str, bytes]:
    jpeg = encode(Image.new("RGB", (60, 40)), "JPEG")
    return {
        "nothing": b"",
        "text": b"this is no picture",
        "a GIF": b"GIF89a" + bytes(20),
        "cut short": jpeg[:-2],
        "too many pixels": png(width=30_000, height=30_000, rows=b"\0"),
        "too deep": png(width=7_000, height=7_000, depth=16, kind=6, rows=b"\0"),
        "too many passes": progressive(width=7000, height=7000, scans=90),
        "too many segments": jpeg[:2] + b"\xff\xe0\0\2" * 5000 + jpeg[2:],
    }


@pytest.mark.parametrize("name", bad_pictures())
def test_a_bad_picture_gets_the_sentence_that_its_decoder_has_for_it(name: str) -> None:
    data = bad_pictures()[name]
    with pytest.raises(InvalidImage) as by_decoder:
        decode_image(data)
    with pytest.raises(Refusal) as refused:
        cost_of(photo_request(data), MODELS, Limits())
    assert refused.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.sentence == str(by_decoder.value)
    assert refused.value.retry_after is None


def test_of_several_rows_the_bad_one_is_named(photo: Image.Image) -> None:
    with pytest.raises(Refusal, match=r"^row 1 \(of 0 to 1\): .* not a picture"):
        cost_of(faces_request([encode(photo, "JPEG"), b"text"]), MODELS, Limits())


def test_limits_below_the_decoder_s_are_held(photo: Image.Image) -> None:
    sent = photo_request(encode(photo, "JPEG", progressive=True))
    with pytest.raises(Refusal, match="60 x 40 pixels, more than the 2,000 accepted"):
        cost_of(sent, MODELS, Limits(megapixels=0.002))
    with pytest.raises(Refusal, match=r"12,800 in all, more than the 10,000 accepted"):
        cost_of(sent, MODELS, Limits(scan_megapixels=0.01))


def test_large_pictures_are_read_in_a_thread_and_small_ones_at_once(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers: list[threading.Thread] = []

    def noted(*arguments: Any) -> Any:
        readers.append(threading.current_thread())
        return cost_of(*arguments)

    monkeypatch.setattr(picture_cost, "cost_of", noted)
    small = encode(photo, "JPEG")
    large = small[:2] + (b"\xff\xe0\xff\xff" + bytes(65533)) * 5 + small[2:]
    crops = request("crops", ("crop", np.zeros((1, 400, 400, 3), np.uint8)))

    async def read() -> None:
        costs = PictureCosts(Limits())
        for sent in (photo_request(small), photo_request(large), crops):
            assert (await costs.of(sent, MODELS)).bytes == len(sent.raw)
        with pytest.raises(Refusal, match="cut short"):
            await costs.of(photo_request(large[:-2]), MODELS)
        costs.close()

    asyncio.run(read())
    here = threading.current_thread()
    assert [reader is here for reader in readers] == [True, False, True, False]


def test_requests_that_wait_for_a_thread_are_bounded_in_bytes(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def waiting(*arguments: Any) -> Any:
        go_on.wait()
        return cost_of(*arguments)

    monkeypatch.setattr(picture_cost, "cost_of", waiting)
    small = encode(photo, "JPEG")
    sent = photo_request(small[:2] + (b"\xff\xe0\xff\xff" + bytes(65533)) * 5 + small[2:])

    async def read() -> None:
        costs = PictureCosts(Limits(waiting_bytes=2 * len(sent.raw)))
        first, second = (asyncio.ensure_future(costs.of(sent, MODELS)) for _ in range(2))
        await asyncio.sleep(0)
        with pytest.raises(Refusal) as refused:
            await costs.of(sent, MODELS)
        assert refused.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.value.retry_after is not None
        go_on.set()
        await asyncio.gather(first, second)
        await costs.of(sent, MODELS)
        costs.close()

    asyncio.run(read())
