"""What an answered photo costs the client's process, by part, and what reading an answer of many faces takes.

    python -m deploy.benchmark.client_cost

A portrait goes to a gateway over the assembled repository, with all tasks. What counts is the processor time
of this process alone, all its threads: the server's is another one. The parts are found by taking others
away: a transport that has the answer ready takes gRPC away, reading its tensors alone the request too. Beside
them stands a call of gRPC's own that sends and gets the same bytes, and makes nothing of them.
"""

import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import numpy as np

from deploy.embedded import EmbeddedServerError
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.command import command, parser_of
from deploy.measuring.pictures.portrait import PORTRAIT
from deploy.measuring.processor_time import core_ms
from qface_client import Analysis, Contract, FaceClient, QFaceError, faces_to_frame
from qface_client._connection.messages import read_reply, request
from qface_client.kinds.base import Tensors
from qface_client.reading import FACE_OUTPUTS, read_photo
from qface_client.transports import Infer, ModelInfo, ReadModel, Reply, Transport

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_FACES = (1, 10, 100)


class Held:
    """A transport that asks another one once, and has what was answered ready from then on."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._models: dict[str, ModelInfo] = {}
        self.answered: tuple[Infer, Reply] | None = None

    def read_model(self, step: ReadModel) -> ModelInfo:
        if step.model not in self._models:
            self._models[step.model] = self._transport.read_model(step)
        return self._models[step.model]

    def infer(self, step: Infer) -> Reply:
        if self.answered is None:
            self.answered = step, self._transport.infer(step)
        return self.answered[1]

    def close(self) -> None:
        self._transport.close()


@command("client_cost", EmbeddedServerError, QFaceError)
def main(arguments: Sequence[str] | None = None) -> int:
    """Prints two tables."""
    parser = parser_of(
        "deploy.benchmark.client_cost",
        __doc__,
        repository=True,
        rounds=7,
        seconds=0.2,
        seconds_of="of processor time of a part in a round",
    )
    parser.add_argument("--photo", type=Path, default=PORTRAIT)
    options = parser.parse_args(arguments)
    photo = options.photo.read_bytes()
    with (
        GatewayServer(options.repository) as server,
        FaceClient(server.grpc_address) as client,
        grpc.insecure_channel(server.grpc_address, options=[("grpc.enable_http_proxy", 0)]) as channel,
    ):
        contract = client.contract()
        held = Held(client._transport)
        ready = FaceClient(transport=held)
        ready.analyze(photo)
        if held.answered is None:
            raise ValueError("the photo was not answered")
        step, reply = held.answered
        tensors, tasks, sent = reply.tensors, contract.select(None), request(step)
        bare = channel.unary_unary(_INFER)
        received = bare(sent, timeout=step.timeout)
        taken = core_ms(
            {
                "call": lambda: client.analyze(photo),
                "call without gRPC": lambda: ready.analyze(photo),
                "messages": lambda: (request(step), read_reply(received, ())),
                "bare": lambda: bare(sent, timeout=step.timeout),
                "answers": lambda: read_photo(tensors, tasks=tasks, contract=contract),
            },
            rounds=options.rounds,
            seconds=options.seconds,
        )
    ours = {
        "the photo and the conversation": taken["call without gRPC"] - taken["answers"],
        "the request's bytes, the answer's tensors": taken["messages"],
        "the answers made of tensors": taken["answers"],
    }
    rows = {
        "the whole call": taken["call"],
        **ours,
        "the rest: gRPC": taken["call"] - sum(ours.values()),
        "beside it, a bare call of gRPC with the same bytes": taken["bare"],
    }
    print(f"| a photo of {len(photo) / 1e3:.0f} kB, {len(tasks)} tasks | client, core-ms |\n|---|---:|")
    for name, spent in rows.items():
        print(f"| {name} | {spent:.2f} |")
    _print_reading(tensors, contract, rounds=options.rounds, seconds=options.seconds)
    return 0


def _print_reading(tensors: Tensors, contract: Contract, *, rounds: int, seconds: float) -> None:
    print("\n| faces in an answer | made | all boxes read | all as data | as JSON text | as a frame |")
    print("|---:" * 6 + "|")
    for faces in _FACES:
        read = functools.partial(
            read_photo, _repeated(tensors, contract, faces), tasks=contract.select(None), contract=contract
        )
        taken = core_ms(_uses(read), rounds=rounds, seconds=seconds)
        print(f"| {faces} | " + " | ".join(f"{spent:.2f}" for spent in taken.values()) + " |")


def _uses(read: Callable[[], Analysis]) -> dict[str, Callable[[], object]]:
    """What is done with an answer, from the least to all of it."""
    return {
        "made": read,
        "boxes": lambda: [face.box for face in read()],
        "data": lambda: read().to_dict(),
        "text": lambda: read().to_json_line(),
        "frame": lambda: faces_to_frame([read()]),
    }


def _repeated(tensors: Tensors, contract: Contract, faces: int) -> Tensors:
    """The answer with so many of its first face."""
    per_face = {*FACE_OUTPUTS[:3], *(name for task in contract.select(None) for name in task.outputs)}
    return {
        name: np.repeat(value[:1], faces, axis=0) if name in per_face else value
        for name, value in tensors.items()
    }


if __name__ == "__main__":
    sys.exit(main())
