"""POST /v1/analyze: a photo's faces as the JSON of `qface analyze --json`."""

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from aiohttp import web
from tritonclient.grpc import service_pb2 as v2

from deploy.gateway.authority import Authority
from deploy.gateway.front.inference import Inference
from deploy.gateway.observability.server_timing import HEADER as SERVER_TIMING
from deploy.gateway.observability.server_timing import ServerTiming
from deploy.gateway.refusals import BY_MODEL, Refusal, unavailable
from deploy.gateway.rest.call import RestCall
from deploy.gateway.rest.contracts import ServedContracts
from deploy.gateway.rest.problems import HEADERS, REQUEST_ID, Problem
from qface_client.contract import Contract, TaskSpec
from qface_client.errors import ServerError
from qface_client.kinds.base import Tensors
from qface_client.reading import answered_hash, read_answer, read_photo

# How often a request is sent while what is served changes under it, and the wait in between.
_ATTEMPTS = 4
_PAUSE_SECONDS = 0.05
_LARGE = 64 * 1024  # bytes of an answer: some ten faces

_PROTOCOL = {"http.request.method": "POST", "http.route": "/v1/analyze"}  # in a span

T = TypeVar("T")


class Analyze:
    """Answers one request after the other's way through `Inference`."""

    def __init__(
        self,
        *,
        authority: Authority,
        inference: Inference,
        contracts: ServedContracts,
        call_of: Callable[[web.BaseRequest], RestCall],
    ) -> None:
        self._authority = authority
        self._inference = inference
        self._contracts = contracts
        self._call_of = call_of

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """The answer, or the problem that a call ended in."""
        call = self._call_of(request)
        try:
            response = _response(*await self._content(call), request_id=call.request_id)
        except Problem as problem:
            response = problem.response(request_id=call.request_id)
        except BaseException:
            call.trace.finish(_PROTOCOL)
            raise
        call.trace.finish({**_PROTOCOL, "http.response.status_code": response.status})
        return response

    async def _content(self, call: RestCall) -> tuple[bytes, str]:
        """The JSON, and where the time of it went as the header states it."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(_PAUSE_SECONDS * attempt)
            try:
                answer = await self._inference.infer(call, call.trace)
            except Problem as problem:
                if _lacks_output(problem.refusal) and attempt + 1 < _ATTEMPTS:
                    continue
                raise
            began = time.monotonic()
            try:
                with call.trace.phase("json"):
                    body = await self._body(call, answer)
            except (ServerError, ValueError) as error:  # NaN is no JSON
                raise self._unanswered(call, _unusable(error)) from error
            if body is not None:
                assert call.timing is not None
                return body, _timing_text(call.timing, json_seconds=time.monotonic() - began)
        raise self._unanswered(
            call,
            unavailable(
                "what is served changed under the request again and again: send it again",
                reason="not_ready",
                retry_after=1.0,
            ),
        )

    def _unanswered(self, call: RestCall, refusal: Refusal) -> Problem:
        """Counts a refusal of what Triton has answered: to the authority the request has ended well."""
        assert call.query is not None
        self._authority.refused(call.query.model.info.name, refusal.reason)
        return Problem(refusal)

    async def _body(self, call: RestCall, answer: bytes) -> bytes | None:
        """The JSON by the contract that the answer names.

        None where that has other tasks than were asked for. What is large is read in a thread: some hundred
        faces take a second, in which others are answered.
        """
        assert call.query is not None
        is_large = len(answer) > _LARGE
        tensors = await _run(_tensors_of, answer, in_thread=is_large)
        named = answered_hash(tensors)
        if self._contracts.by_hash(named) is None and (served := self._authority.served()) is not None:
            self._contracts.of(served)
        contract = self._contracts.by_hash(named)
        if contract is None:
            return None
        wanted = {task.name for task in call.query.tasks}
        tasks = tuple(task for task in contract.tasks if task.name in wanted)
        if len(tasks) < len(wanted) or not all(
            task.readable and tensors.keys() >= set(task.outputs) for task in tasks
        ):
            return None
        return await _run(_json_of, tensors, tasks, contract, in_thread=is_large)


def _lacks_output(refusal: Refusal) -> bool:
    """Whether the contract had an output when the request was made that the model has no more."""
    by_triton = refusal.reason == BY_MODEL and refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    return refusal.reason == "output" or (by_triton and "inference output" in refusal.sentence)


def _unusable(error: Exception) -> Refusal:
    sentence = f"the model's answer can't be used: {error}"
    return Refusal(grpc.StatusCode.INTERNAL, sentence, reason=BY_MODEL)


async def _run(work: Callable[..., T], *arguments: Any, in_thread: bool) -> T:
    return await asyncio.to_thread(work, *arguments) if in_thread else work(*arguments)


def _tensors_of(answer: bytes) -> Tensors:
    return read_answer(v2.ModelInferResponse.FromString(answer))


def _json_of(tensors: Tensors, tasks: Sequence[TaskSpec], contract: Contract) -> bytes:
    content = read_photo(tensors, tasks=tasks, contract=contract).to_dict()
    return json.dumps(content, allow_nan=False).encode() + b"\n"


def _timing_text(timing: ServerTiming, *, json_seconds: float) -> str:
    whole = dataclasses.replace(timing, total=timing.total + json_seconds)
    return whole.to_text(json=json_seconds)


def _response(body: bytes, timing: str, *, request_id: str) -> web.Response:
    headers = {
        **HEADERS,
        "Content-Type": "application/json",
        REQUEST_ID: request_id,
        SERVER_TIMING: timing,
    }
    return web.Response(body=body, headers=headers)
