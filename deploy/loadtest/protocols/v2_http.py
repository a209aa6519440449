"""The V2 protocol over HTTP with tensors as bytes: Triton's own door, which the gateway keeps closed.

A body is a JSON header, as long as Inference-Header-Content-Length says, and the tensors' bytes behind it
(the extension binary_tensor_data of the KServe V2 protocol).
"""

import asyncio
import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
from aiohttp.payload import BytesPayload
from numpy.typing import NDArray
from tritonclient.utils import deserialize_bytes_tensor, triton_to_np_dtype

from deploy.loadtest.protocols.answers import Expected
from deploy.loadtest.protocols.base import BROKEN, Answer, Connection, Reply, Target
from deploy.loadtest.protocols.descriptions import from_config, from_metadata
from deploy.loadtest.protocols.mistakes import error_of
from deploy.loadtest.protocols.over_http import Asker, Session, body_of
from deploy.loadtest.protocols.tensors import datatype_of, raw_bytes
from deploy.loadtest.work.question import Question

HEADER_LENGTH = "Inference-Header-Content-Length"
_CONTENT = "application/octet-stream"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Message:
    path: str
    body: BytesPayload
    headers: Mapping[str, str]
    expected: Expected


class _Connection:
    def __init__(self, target: Target) -> None:
        self._session = Session(target)

    async def ask(self, message: _Message, *, deadline: float) -> Reply:
        reply, content, header = await self.send(message, deadline=deadline)
        if reply.code != "OK":
            return reply
        try:
            shapes = {each["name"]: each["shape"] for each in _outputs(content, header)}
        except (ValueError, KeyError, TypeError):
            return Reply(code=BROKEN, details="the answer is none of the V2 protocol")
        return message.expected.reply(shapes)

    async def send(self, message: _Message, *, deadline: float) -> tuple[Reply, bytes, int]:
        """How it ended, with the answer's body and the length of its header."""
        reply, content, headers = await self._session.send(
            "POST", message.path, body=message.body, headers=message.headers, deadline=deadline
        )
        return reply, content, int(headers.get(HEADER_LENGTH, len(content)))

    async def close(self) -> None:
        await self._session.close()


class HttpDoor:
    """See the module."""

    name = "http"

    def message(self, question: Question) -> _Message:
        head, tensors = encode(question)
        return _Message(
            path=f"/v2/models/{quote(question.model, safe='')}/infer",
            body=body_of(head + tensors, content_type=_CONTENT),
            headers={HEADER_LENGTH: str(len(head))},
            expected=Expected.of(question),
        )

    def connect(self, target: Target) -> Connection:
        return _Connection(target)

    def describe(self, target: Target, *, timeout: float, models: Sequence[str] = ()) -> Mapping[str, Any]:
        return asyncio.run(_describe(target, timeout=timeout, models=models))

    def answer(self, target: Target, question: Question, *, timeout: float) -> Answer:
        return asyncio.run(_answer(target, self.message(question), timeout=timeout))


def encode(question: Question) -> tuple[bytes, bytes]:
    """A request's header and the bytes behind it."""
    inputs, tensors = [], []
    for name, tensor in question.inputs.items():
        datatype = datatype_of(tensor, name=name)
        data = raw_bytes(tensor, datatype)
        inputs.append(
            {
                "name": name,
                "datatype": datatype,
                "shape": list(tensor.shape),
                "parameters": {"binary_data_size": len(data)},
            }
        )
        tensors.append(data)
    parameters: dict[str, Any] = dict(question.parameters)
    head: dict[str, Any] = {"inputs": inputs}
    if question.outputs:
        head["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in question.outputs]
    else:
        parameters["binary_data_output"] = True
    if parameters:
        head["parameters"] = parameters
    return json.dumps(head).encode(), b"".join(tensors)


def decode(content: bytes, header: int) -> dict[str, NDArray[Any]]:
    """The tensors of an answer by name; ValueError, KeyError or TypeError for what is none."""
    tensors, begin = {}, header
    for output in _outputs(content, header):
        datatype, shape = output["datatype"], output["shape"]
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            dtype = triton_to_np_dtype(datatype)
            tensors[output["name"]] = np.array(output["data"], dtype).reshape(shape)
            continue
        data, begin = content[begin : begin + size], begin + size
        elements = (
            deserialize_bytes_tensor(data)
            if datatype == "BYTES"
            else np.frombuffer(data, triton_to_np_dtype(datatype))
        )
        tensors[output["name"]] = elements.reshape(shape)
    return tensors


def _outputs(content: bytes, header: int) -> Sequence[Mapping[str, Any]]:
    """What an answer's header has of each tensor; ValueError where the bytes behind it are more or fewer."""
    outputs: Sequence[Mapping[str, Any]] = json.loads(content[:header])["outputs"]
    sizes = (output.get("parameters", {}).get("binary_data_size", 0) for output in outputs)
    if header + sum(sizes) != len(content):
        raise ValueError("the answer has other sizes than its header")
    return outputs


async def _describe(target: Target, *, timeout: float, models: Sequence[str]) -> Mapping[str, Any]:
    async with Session(target) as session:
        asker = Asker(session, target, timeout=timeout)
        server = await asker.get("/v2")
        if not isinstance(server, Mapping) or "name" not in server:
            raise ConnectionError(
                f"{target.address} has no server of the V2 protocol at /v2: give another port"
            )
        index = await asker.get("/v2/repository/index", post={"ready": True}, missing=True)
        ready = (each["name"] for each in index or () if each.get("state", "READY") == "READY")
        names = tuple(dict.fromkeys(ready)) or tuple(models)
        described = {}
        for name in names:
            path = f"/v2/models/{quote(name, safe='')}"
            config = await asker.get(f"{path}/config", missing=True)
            described[name] = from_config(config) if config else from_metadata(await asker.get(path))
    return {
        "server": server["name"],
        "version": server.get("version", ""),
        "extensions": list(server.get("extensions", ())),
        "models": described,
    }


async def _answer(target: Target, message: _Message, *, timeout: float) -> Answer:
    connection = _Connection(target)
    try:
        reply, content, header = await connection.send(message, deadline=timeout)
    finally:
        await connection.close()
    if reply.code in ("INVALID_ARGUMENT", "NOT_FOUND"):
        raise ValueError(reply.details)
    if reply.code != "OK":
        raise error_of(reply, target=target, timeout=timeout)
    try:
        return Answer(tensors=decode(content, header), size=len(content))
    except (ValueError, KeyError, TypeError) as error:
        raise ConnectionError(f"{target.address} answered what is none of the V2 protocol: {error}") from None
