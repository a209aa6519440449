"""All variants of the protocols, and a server's answers to them."""

import contextlib
from collections.abc import Iterator

import grpc
from tritonclient.grpc import service_pb2 as v2

from deploy.benchmark.load import Samples
from deploy.benchmark.load.sample_requests import CHANNEL
from tests.hostile.pictures.files import quarters, save
from tests.hostile.protocol.infer import inferences
from tests.hostile.protocol.methods import calls
from tests.hostile.protocol.rest import requests
from tests.hostile.protocol.rest_framing import framings
from tests.hostile.protocol.variant import Target, Variant


def variants() -> Iterator[Variant]:
    """Those over gRPC, then those over HTTP."""
    yield from inferences()
    yield from calls()
    yield from requests()
    yield from framings()


@contextlib.contextmanager
def target_of(grpc_address: str, rest_address: str, samples: Samples) -> Iterator[Target]:
    """The server with valid requests, which name every output."""
    encoded = save(quarters(), "JPEG")
    made = []
    for model in ("photo_analysis", "crop_analysis"):
        request = v2.ModelInferRequest()
        request.CopyFrom(samples.of(model, 0).request)
        request.outputs.extend(
            v2.ModelInferRequest.InferRequestedOutputTensor(name=output.name)
            for output in samples.configs[model].output
        )
        made.append(request)
    photo, crops = made
    photo.inputs[0].shape[:] = [len(encoded)]
    photo.raw_input_contents[:] = [encoded]
    with grpc.insecure_channel(grpc_address, options=CHANNEL) as channel:
        yield Target(
            grpc_address=grpc_address,
            rest_address=rest_address,
            channel=channel,
            photo=photo,
            crops=crops,
            encoded=encoded,
        )
