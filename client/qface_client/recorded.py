"""Answers from a file, for tests and scripts that have no server.

    with FaceClient("localhost:8001", record="answers.jsonl") as client:  # writes the answers down
        client.analyze("photo.jpg")

    with FaceClient(transport=Replayed("answers.jsonl")) as client:  # the same answers, without a server
        client.analyze("photo.jpg")

The file is text: a header, then a line of JSON a request. A picture stands there by the SHA-256 of its
bytes; no picture, crop or key is in it, but the answers about the faces are. A request is known by its model,
inputs and parameters, not by its file's name or timeout.
"""

import asyncio
import dataclasses
import os

from ._exchange.steps import Infer, ReadModel, Reply
from ._recording.index import Index, parameters_text
from ._recording.missing import not_recorded
from ._recording.writer import Writer
from .contract import ModelInfo
from .errors import NotRecorded, QFaceError
from .transports import AsyncTransport, Transport, awaitable

__all__ = ["AsyncRecorded", "Recorded", "Replayed"]


class Recorded:
    """A transport that writes down how each request to another one ends.

    Answers are written, and errors that another try can't mend. The file appears under its name at `close`;
    until then it is `PATH.xxxxxxxx.part`. An older file of that name is replaced. InvalidInput where it can't
    be written.
    """

    def __init__(self, transport: Transport, path: str | os.PathLike[str]) -> None:
        self._transport = transport
        self._writer = Writer(path)

    def read_model(self, step: ReadModel) -> ModelInfo:
        """As of `Transport`."""
        try:
            info = self._transport.read_model(step)
        except QFaceError as error:
            self._writer.add(step, error)
            raise
        self._writer.add(step, info)
        return info

    def infer(self, step: Infer) -> Reply:
        """As of `Transport`."""
        try:
            reply = self._transport.infer(step)
        except QFaceError as error:
            self._writer.add(step, error)
            raise
        self._writer.add(step, reply)
        return reply

    def close(self) -> None:
        """As of `Transport`."""
        try:
            self._transport.close()
        finally:
            self._writer.close()


class AsyncRecorded:
    """`Recorded` for the asyncio client; it writes in a thread."""

    def __init__(self, transport: Transport | AsyncTransport, path: str | os.PathLike[str]) -> None:
        self._transport = awaitable(transport)
        self._writer = Writer(path)

    async def read_model(self, step: ReadModel) -> ModelInfo:
        """As of `Transport`."""
        try:
            info = await self._transport.read_model(step)
        except QFaceError as error:
            await asyncio.to_thread(self._writer.add, step, error)
            raise
        await asyncio.to_thread(self._writer.add, step, info)
        return info

    async def infer(self, step: Infer) -> Reply:
        """As of `Transport`."""
        try:
            reply = await self._transport.infer(step)
        except QFaceError as error:
            await asyncio.to_thread(self._writer.add, step, error)
            raise
        await asyncio.to_thread(self._writer.add, step, reply)
        return reply

    async def close(self) -> None:
        """As of `Transport`."""
        try:
            await self._transport.close()
        finally:
            await asyncio.to_thread(self._writer.close)


class Replayed:
    """A transport that answers from a recording, at once.

    The same request several times gets its recorded outcomes in their order, then the last one again. A
    request for fewer tasks than were recorded is answered; one that is not in the file is NotRecorded.
    InvalidInput where the file is no recording. Thread-safe; FaceClient and AsyncFaceClient take it.

    `missing`: the sentences of NotRecorded so far, for tests of programs that catch every QFaceError.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._index = Index(path)
        self.missing: list[str] = []

    def read_model(self, step: ReadModel) -> ModelInfo:
        """The model as it was then, with those outputs that were requested of it.

        A newer client would else request outputs that nobody had known of.
        """
        places = self._index.models(step.model)
        if not places:
            raise self._not_recorded(step)
        outcome = self._index.next_of(places)
        if isinstance(outcome, QFaceError):
            raise outcome
        assert isinstance(outcome, ModelInfo)
        requested = self._index.outputs_of(step.model)
        return dataclasses.replace(outcome, outputs=outcome.outputs & requested)

    def infer(self, step: Infer) -> Reply:
        """As of `Transport`."""
        wanted, places = frozenset(step.outputs), self._places(step)
        if not places:
            raise self._not_recorded(step)
        outcome = self._index.next_of(places)
        if isinstance(outcome, QFaceError):
            raise outcome
        assert isinstance(outcome, Reply)
        tensors = {name: tensor for name, tensor in outcome.tensors.items() if name in wanted}
        return dataclasses.replace(outcome, tensors=tensors)

    def close(self) -> None:
        """As of `Transport`."""
        self._index.close()

    def _not_recorded(self, step: ReadModel | Infer) -> NotRecorded:
        error = not_recorded(self._index, step)
        self.missing.append(str(error))
        return error

    def _places(self, step: Infer) -> list[int]:
        """Where the outcomes of a request lie: of the very same one, else of what answers it too."""
        wanted, parameters = frozenset(step.outputs), parameters_text(step.parameters)
        alike = [
            entry
            for entry in self._index.entries(step)
            if entry.parameters == parameters and wanted <= entry.outputs
        ]
        # Another priority may be what was refused.
        usable = [entry for entry in alike if entry.priority == step.priority or not entry.failed]
        for entries in ([entry for entry in usable if entry.outputs == wanted], usable):
            of_priority = [entry for entry in entries if entry.priority == step.priority]
            if entries:
                return [entry.offset for entry in of_priority or entries]
        return []
