"""A client of the REST door for a Load: one photo again and again, whose first answer is what is expected."""

import dataclasses

from deploy.benchmark.load.clients import MakeSender, Reply, alike
from deploy.benchmark.load.rest import RestClient

# What a broken connection raises. As with gRPC, it says that another try is safe: an analysis has no effects.
BROKEN = ("RemoteDisconnected", "ConnectionResetError", "BrokenPipeError", "ConnectionRefusedError")


class _RestSender:
    model = "REST"

    def __init__(self, address: str, photo: bytes, *, tolerance: float) -> None:
        self._client = RestClient(address)
        self._photo = photo
        self._tolerance = tolerance
        self._expected: object = None

    def send(self, deadline: float) -> Reply:
        reply, answer = self._client.analyze(self._photo, query={}, deadline=deadline)
        if not reply.code and reply.details.startswith(BROKEN):
            return dataclasses.replace(reply, code="UNAVAILABLE")
        if reply.code != "OK":
            return reply
        if self._expected is None:
            self._expected = answer
        return Reply(right=alike(answer, self._expected, tolerance=self._tolerance))

    def close(self) -> None:
        self._client.close()


def rest_sender(address: str, photo: bytes, *, tolerance: float) -> MakeSender:
    """Posts a photo to the REST door at "HOST:PORT"; never tries again."""
    return lambda: _RestSender(address, photo, tolerance=tolerance)
