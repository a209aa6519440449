"""Problems: what a refusal is over HTTP (RFC 9457), as application/problem+json."""

import http
import json
import math
from collections.abc import Mapping
from typing import NoReturn

import grpc
from aiohttp import web

from deploy.gateway.refusals import BY_MODEL, Refusal

CONTENT_TYPE = "application/problem+json"
TYPE = "/docs#"  # of a problem, with its status behind: a place on the page for people
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "q-face"}
REQUEST_ID = "X-Request-Id"

_DETAIL = 4000  # characters

_STATUS: Mapping[grpc.StatusCode, int] = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNIMPLEMENTED: 405,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
# Where HTTP has a status that says more than gRPC's: by the code and the reason.
_CLOSER: Mapping[tuple[grpc.StatusCode, str], int] = {
    (grpc.StatusCode.INVALID_ARGUMENT, "request_bytes"): 413,
    (grpc.StatusCode.INVALID_ARGUMENT, "media_type"): 415,
    (grpc.StatusCode.INVALID_ARGUMENT, "picture"): 422,
    (grpc.StatusCode.INVALID_ARGUMENT, BY_MODEL): 422,
    (grpc.StatusCode.DEADLINE_EXCEEDED, "slow"): 408,
}
# With what each can be given; the specification lists them.
STATUSES: Mapping[int, str] = {
    400: "The request can't be used: a parameter, a header or the form is wrong.",
    401: "The API key is missing or unknown.",
    403: "The API key may not ask for this.",
    404: "There is nothing at this place, or no such network.",
    405: "This place takes other methods; Allow has them.",
    408: "The request did not arrive in time.",
    413: "The request is larger than the server takes.",
    415: "The body is neither a picture nor a form with one.",
    422: "The body is no picture, a damaged one, or one that is too large to be looked at.",
    429: "Too much at the moment, of everybody or of this key: Retry-After says when to try again.",
    500: "The server failed at this request: report it.",
    503: "The server starts, repairs itself, stops or lacks memory: Retry-After says when to try again.",
    504: "The request's own timeout passed before the answer was there.",
}


class Problem(Exception):
    """A call's end without an answer."""

    def __init__(self, refusal: Refusal, *, allow: str = "") -> None:
        super().__init__(refusal.sentence)
        self.refusal = refusal
        self.allow = allow  # of 405

    @property
    def status(self) -> int:
        return status_of(self.refusal)

    def response(self, *, request_id: str = "") -> web.Response:
        """What the client gets."""
        refusal, status = self.refusal, self.status
        content = {
            "type": f"{TYPE}{status}",
            "title": http.HTTPStatus(status).phrase,
            "status": status,
            "detail": refusal.sentence[:_DETAIL],
            "reason": refusal.reason,
        }
        headers = {**HEADERS, "Content-Type": CONTENT_TYPE}
        if request_id:
            headers[REQUEST_ID] = request_id
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="q-face"'
        if self.allow:
            headers["Allow"] = self.allow
        if refusal.retry_after is not None:
            headers["Retry-After"] = str(max(1, math.ceil(refusal.retry_after)))
        return web.Response(body=json.dumps(content).encode() + b"\n", status=status, headers=headers)


def status_of(refusal: Refusal) -> int:
    """The HTTP status of a refusal; 500 for what only a model of its own gives."""
    closer = _CLOSER.get((refusal.code, refusal.reason))
    return closer or _STATUS.get(refusal.code, 500)


async def end(_context: object, refusal: Refusal) -> NoReturn:
    """Ends a REST call with a refusal: an `Inference`'s `end`."""
    raise Problem(refusal)


def unsupported(sentence: str) -> Refusal:
    """415: the body is of a kind that is not taken."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, sentence, reason="media_type")


def no_such_place(sentence: str) -> Refusal:
    """404."""
    return Refusal(grpc.StatusCode.NOT_FOUND, sentence, reason="path")


def no_such_method(sentence: str) -> Refusal:
    """405."""
    return Refusal(grpc.StatusCode.UNIMPLEMENTED, sentence, reason="method")
