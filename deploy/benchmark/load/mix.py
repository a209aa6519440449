"""Clients of three sorts, for loads under which something else happens to a server."""

import itertools
from collections.abc import Callable

from deploy.benchmark.load.clients import MakeSender, face_client_sender, raw_sender, tritonclient_sender
from deploy.benchmark.load.sample_requests import Samples, jpeg, picture
from qface_client import FaceClient

EVERYTHING, CROPS, PHOTOS = "face_analysis", "crop_analysis", "photo_analysis"
TRY_AGAIN = 2  # of the clients, the last ones


def mixed_clients(
    address: str, samples: Samples, *, deadline: float, photo: bytes | None = None, clients: int = 8
) -> list[MakeSender]:
    """Plain stubs, tritonclient and FaceClient, on ensembles, a single task and photos.

    deadline    seconds that a FaceClient's call has
    photo       what FaceClient analyzes (None: a picture without a face)
    clients     how many; from the ninth on the same again
    """
    task = next(name for name in samples.ensembles if name not in (EVERYTHING, CROPS))
    crop = picture(99, size=64)
    encoded = jpeg(crop) if photo is None else photo

    def crops(client: FaceClient) -> object:
        return client.analyze_crop(crop, tasks=[task]).to_dict()

    def photos(client: FaceClient) -> object:
        return [face.to_dict() for face in client.analyze(encoded)]

    def ours(call: Callable[[FaceClient], object]) -> MakeSender:
        return face_client_sender(address, call, deadline=deadline, tolerance=samples.tolerance)

    eight = [
        raw_sender(address, samples, EVERYTHING),
        raw_sender(address, samples, task, first=1),
        raw_sender(address, samples, CROPS, first=2),
        raw_sender(address, samples, PHOTOS),
        tritonclient_sender(address, samples, EVERYTHING, first=3),
        tritonclient_sender(address, samples, task, first=1),
        ours(crops),
        ours(photos),
    ]
    return list(itertools.islice(itertools.cycle(eight), clients))
