"""Calls of a FaceClient as plain data, so that clients over different transports can be compared."""

import asyncio
import dataclasses
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from qface_client import Analysis, AsyncFaceClient, Face, FaceClient, QFaceError
from qface_client.provenance import Provenance


class InLoop:
    """An AsyncFaceClient with a FaceClient's methods: its calls run in an event loop of another thread."""

    def __init__(self, make: Callable[[], AsyncFaceClient]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

        async def made() -> AsyncFaceClient:
            return make()

        self._client = self._result(made())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*arguments: Any, **named: Any) -> Any:
            async def awaited() -> Any:
                outcome = method(*arguments, **named)
                if inspect.isasyncgen(outcome):
                    return [item async for item in outcome]
                return await outcome

            return self._result(awaited())

        return call

    def __enter__(self) -> FaceClient:
        return cast(FaceClient, self)

    def __exit__(self, *_: object) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _result(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)


@dataclasses.dataclass(frozen=True)
class Failure:
    """What there is to compare of an error."""

    kind: str
    sentence: str
    retryable: bool


def outcome(call: Callable[[FaceClient], Any], client: FaceClient, *, address: str) -> Any:
    """What a call gives as plain data; an error with its sentence, without the address."""
    try:
        return plain(call(client))
    except QFaceError as error:
        sentence = str(error).replace(f"the server at {address}", "the server")
        return Failure(type(error).__name__, sentence, error.retryable)


def plain(value: Any) -> Any:
    """A result as numbers, texts, lists and mappings, every number as it is. Of provenance no times."""
    if isinstance(value, Provenance):
        return plain(dataclasses.replace(value, timings={}).to_dict())
    if isinstance(value, Analysis):
        size = (value.width, value.height, value.faces_found, value.smallest_face)
        return {"photo": size, "faces": plain(value.faces), "provenance": plain(value.provenance)}
    if isinstance(value, Face):
        answers = {task: [answer.to_json(), numbers(answer)] for task, answer in value.answers.items()}
        place = {"box": value.box, "score": value.score, "landmarks5": plain(value.landmarks5)}
        return {**place, "answers": answers, "provenance": plain(value.provenance)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def numbers(answer: Any) -> dict[str, Any]:
    """The numbers of an answer as they are: `to_json` rounds."""
    if isinstance(answer, Mapping):
        return {"numbers": plain(dict(answer))}
    names = [field.name for field in dataclasses.fields(answer) if not field.name.startswith("_")]
    return {name: plain(getattr(answer, name)) for name in names}
