"""REST of the gateway: photos over HTTP, answers in JSON."""

import asyncio
import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import numpy as np
from aiohttp.payload import BytesPayload

from deploy.loadtest.protocols.answers import Expected
from deploy.loadtest.protocols.base import WRONG, Answer, Connection, Reply, Target
from deploy.loadtest.protocols.over_http import Asker, Session, body_of, json_of
from deploy.loadtest.work.question import Question
from qface_client.reading import FACE_OUTPUTS

ANALYZE = "/v1/analyze"
_TASKS = "/v1/tasks"
_OPENAPI = "/openapi.json"
_TIMEOUT = "X-Request-Timeout"
_CONTENT = "application/octet-stream"
# An answer's JSON is large, and its number of faces stands before them.
_FACES_FOUND = re.compile(rb'"faces_found": ?([0-9]+)')


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Message:
    path: str
    body: BytesPayload
    expected: Expected


class _Connection:
    def __init__(self, target: Target) -> None:
        self._session = Session(target)

    async def ask(self, message: _Message, *, deadline: float) -> Reply:
        reply, content = await self.send(message, deadline=deadline)
        if reply.code != "OK":
            return reply
        found = _FACES_FOUND.search(content)
        if found is None or not content.rstrip().endswith(b"}"):
            return Reply(code=WRONG, details="the answer has no faces_found, or no end")
        return message.expected.counted(int(found[1]))

    async def send(self, message: _Message, *, deadline: float) -> tuple[Reply, bytes]:
        """How it ended, with the answer's body."""
        reply, content, _ = await self._session.send(
            "POST",
            message.path,
            body=message.body,
            deadline=deadline,
            headers={_TIMEOUT: f"{deadline:.3f}"},
        )
        return reply, content

    async def close(self) -> None:
        await self._session.close()


class RestDoor:
    """See the module."""

    name = "rest"

    def message(self, question: Question) -> _Message:
        if question.photo is None:
            raise ValueError(
                f"{question.kind} is no photo, and REST takes photos alone: leave it out, or call over grpc"
            )
        query = dict(question.parameters)
        if question.tasks is not None:
            query["tasks"] = ",".join(question.tasks)
        return _Message(
            path=f"{ANALYZE}?{urlencode(query)}" if query else ANALYZE,
            body=body_of(question.photo, content_type=_CONTENT),
            expected=Expected.of(question),
        )

    def connect(self, target: Target) -> Connection:
        return _Connection(target)

    def describe(self, target: Target, *, timeout: float, models: Sequence[str] = ()) -> Mapping[str, Any]:
        return asyncio.run(_describe(target, timeout=timeout))

    def answer(self, target: Target, question: Question, *, timeout: float) -> Answer:
        return asyncio.run(_answer(target, self.message(question), timeout=timeout))


async def _describe(target: Target, *, timeout: float) -> Mapping[str, Any]:
    async with Session(target) as session:
        asker = Asker(session, target, timeout=timeout)
        tasks = await asker.get(_TASKS)
        about = await asker.get(_OPENAPI, missing=True)
    if not isinstance(tasks, Mapping) or "tasks" not in tasks:
        raise ConnectionError(f"{target.address} has no tasks at {_TASKS}: it is no gateway of Q-Face")
    info = (about or {}).get("info", {})
    return {
        "server": info.get("title", ""),
        "version": info.get("version", ""),
        "models": {name: {} for name in tasks.get("models", ())},
        **{key: value for key, value in tasks.items() if key != "models"},
    }


async def _answer(target: Target, message: _Message, *, timeout: float) -> Answer:
    connection = _Connection(target)
    try:
        reply, content = await connection.send(message, deadline=timeout)
    finally:
        await connection.close()
    if reply.code == "INVALID_ARGUMENT":
        raise ValueError(reply.details)
    answer = json_of(reply, content, target=target, timeout=timeout, path=ANALYZE)
    faces, (boxes, scores, _, size) = answer["faces"], FACE_OUTPUTS
    tensors = {
        size: np.array([answer["width"], answer["height"]], np.int32),
        boxes: np.array([face["box"] for face in faces], np.float32).reshape(-1, 4),
        scores: np.array([face["score"] for face in faces], np.float32),
    }
    return Answer(tensors=tensors, size=len(content))
