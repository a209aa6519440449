"""A process of clients: threads that ask through one FaceClient and read every answer.

    python -m deploy.benchmark.answer_cost.client_process

It is a worker (`workers.answer_requests`); its processor time counts as the clients'.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.loadtest.loads import OpenLoop
from deploy.measuring.workers import answer_requests
from qface_client import Face, FaceClient
from qface_client.measuring.loops import closed_loop, open_loop

_TIMEOUT = 60.0  # seconds, of a request


def read_answers(faces: Sequence[Face]) -> int:
    """Reads all that every face's answers hold; the number of faces."""
    for face in faces:
        for answer in face.answers.values():
            for name in _names(type(answer)):
                getattr(answer, name)
            if isinstance(answer, Mapping):
                dict(answer)
    return len(faces)


@functools.cache
def _names(kind: type[Any]) -> tuple[str, ...]:
    """What an answer of this type holds: its slots and its properties, made when it is read or before."""
    held = inspect.getmembers(
        kind, lambda value: inspect.isdatadescriptor(value) or isinstance(value, functools.cached_property)
    )
    return tuple(name for name, _ in held if not name.startswith("_"))


class Clients:
    """The methods of the worker; `request` is a `Request` of `rows` as plain data."""

    def __init__(self) -> None:
        self._client = functools.cache(functools.partial(FaceClient, timeout=_TIMEOUT))

    def detect(self, *, address: str, file: str) -> Mapping[str, Any]:
        """The box and the landmarks of the first face of a photo; ValueError without a face."""
        faces = self._client(address).detect(Path(file).read_bytes())
        if not faces or faces[0].landmarks5 is None:
            raise ValueError(f"there is no face in {file}: is the detector served?")
        return {"box": list(faces[0].box), "landmarks": faces[0].landmarks5.tolist()}

    def look(self, *, address: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """How many faces an answer has."""
        return {"faces": self._ask(address, request)()}

    def closed(
        self, *, address: str, request: Mapping[str, Any], clients: int, seconds: float
    ) -> Mapping[str, Any]:
        """`closed_loop` of a request: the fields of a Sample."""
        return dataclasses.asdict(closed_loop(self._ask(address, request), clients=clients, seconds=seconds))

    def open(
        self, *, address: str, request: Mapping[str, Any], rate: float, seconds: float, seed: int
    ) -> Mapping[str, Any]:
        """`open_loop` of a request, which comes at random (Poisson): the fields of a Sample."""
        dues = OpenLoop(rate=rate).dues(seconds=seconds, share=1.0, random=np.random.default_rng(seed))
        return dataclasses.asdict(open_loop(self._ask(address, request), dues=dues.tolist()))

    def _ask(self, address: str, request: Mapping[str, Any]) -> Callable[[], int]:
        """A call whose whole answer is read; its faces."""
        client, tasks = self._client(address), request["tasks"]
        if request["crop"]:
            crop = np.load(request["file"])
            return lambda: read_answers([client.analyze_crop(crop, tasks)])
        encoded = Path(request["file"]).read_bytes()
        if request["box"] is None:
            return lambda: read_answers(client.analyze(encoded, tasks))
        place = {"box": request["box"], "landmarks": request["landmarks"]}
        return lambda: read_answers([client.analyze_face(encoded, tasks=tasks, **place)])


if __name__ == "__main__":
    clients = Clients()
    answer_requests(
        {
            "detect": clients.detect,
            "look": clients.look,
            "closed": clients.closed,
            "open": clients.open,
        }
    )
