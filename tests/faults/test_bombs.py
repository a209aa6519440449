"""Pictures that are small as files and endless to decode are refused before anything decodes them."""

import grpc
import pytest
from tritonclient.grpc import service_pb2 as v2

from deploy.benchmark.load import Samples
from deploy.benchmark.load.picture_bombs import progressive
from deploy.benchmark.load.sample_requests import jpeg, picture, request_for
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.bystanders import ask, unharmed
from tests.helpers.encoded_pictures import png

BOMBS = {
    "100 scans of 49 megapixels": progressive(width=7000, height=7000, scans=100),
    "900 scans of 4 megapixels": progressive(width=2000, height=2000, scans=900),
    "a PNG of 900 megapixels": png(width=30_000, height=30_000, rows=b"\0" * 100),
}
CROP = picture(0, size=64)


def encoded_models(samples: Samples) -> list[str]:
    """Those that take a file."""
    return [
        model
        for model in samples.by_model
        if any(tensor.dims == [-1] for tensor in samples.configs[model].input)
    ]


def request(samples: Samples, model: str, encoded: bytes) -> v2.ModelInferRequest:
    made = request_for(samples.configs[model], encoded=encoded, pixels=CROP)
    assert made is not None
    return made


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_an_invalid_argument_and_good_photos_are_answered(
    gateway: GatewayServer, samples: Samples, bomb: str
) -> None:
    models = encoded_models(samples)
    assert len(models) > 3
    with unharmed(gateway, samples):
        for _ in range(4):
            for model in models:
                with pytest.raises(grpc.RpcError) as caught:
                    ask(gateway.grpc_address, request(samples, model, BOMBS[bomb]))
                assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()
                assert len(caught.value.details()) < 500


def test_an_ordinary_progressive_photo_is_answered(gateway: GatewayServer, samples: Samples) -> None:
    file = progressive(width=600, height=400, scans=10)
    assert ask(gateway.grpc_address, request(samples, "face_analysis", file)).outputs


def test_a_batch_of_pictures_is_bounded_as_a_whole(gateway: GatewayServer, samples: Samples) -> None:
    """Rows that are each taken, and together decode for minutes."""
    single = progressive(width=3000, height=3000, scans=25)
    crops = samples.configs["face_analysis"].max_batch_size
    with unharmed(gateway, samples):
        rows = request(samples, "face_analysis", single)
        for number, tensor in enumerate(rows.inputs):
            tensor.shape[0] = crops
            rows.raw_input_contents[number] *= crops
        with pytest.raises(grpc.RpcError) as caught:
            ask(gateway.grpc_address, rows)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, caught.value.details()


def test_the_same_picture_alone_is_not_a_bomb(gateway: GatewayServer, samples: Samples) -> None:
    assert ask(gateway.grpc_address, request(samples, "face_analysis", jpeg(CROP))).outputs
