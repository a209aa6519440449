"""What REST reads of a request: query, timeout and form become a photo's request, or a problem.

What they become is taken by the gateway's own reader and validation, with the photo's bytes unchanged.
"""

import contextlib
import functools
import json
import random

import grpc
from multidict import MultiDictProxy
from yarl import URL

from deploy.gateway.front.request import read_request
from deploy.gateway.front.validation import validate
from deploy.gateway.identity import ANYBODY
from deploy.gateway.refusals import Refusal
from deploy.gateway.rest.contracts import ServedContracts, ServedPhotos
from deploy.gateway.rest.multipart import one_file
from deploy.gateway.rest.photo_query import LONGEST_TIMEOUT, PhotoQuery, read_query, read_timeout
from deploy.gateway.rest.photo_request import photo_request
from deploy.gateway.rest.problems import STATUSES, Problem
from tests.fuzz.target import Change, Target, hold
from tests.fuzz.targets.request_reader import caller, served

MAX_BYTES = 4 * 1024
_BOUNDARY = b"--------b"
_CODES = frozenset({grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND})


# What has a meaning in each of the four parts.
_FORM_WORDS: tuple[bytes, ...] = (
    b"--" + _BOUNDARY,
    b"\r\n",
    b"\r\n\r\n",
    b"--",
    b"filename=a",
    b"filename*0*=utf-8''%ff",
    b"name*=x'y'z",
)
_FORM_WORDS += (
    b"Content-Transfer-Encoding: base64",
    b"Content-Disposition: ",
    b"Content-Type: image/",
    b"; ",
)
_WORDS = (
    (
        b"&",
        b"=",
        b"%",
        b"%00",
        b"%FF",
        b"+",
        b",",
        b"tasks=",
        b"model=",
        b"max_faces=",
        b"min_face=",
        b"1e9",
        b"0.",
    ),
    (b".", b"1", b"0", b"-", b"e", b"inf", b"3600", b"\xd9\xa1"),
    (
        b"multipart/form-data",
        b"boundary=",
        b";",
        b'"',
        b"\\",
        b"boundary*=utf-8''b",
        b"boundary*0=",
        b"\xff",
        b" ",
    ),
    _FORM_WORDS,
)


@functools.cache
def photos() -> ServedPhotos:
    """What the repository's contracts say of photos."""
    return ServedContracts().of(served())


def run(data: bytes) -> None:
    """Takes bytes as a query, a timeout, a Content-Type and a body, one behind the other in lines."""
    query, timeout, kind, body = (data.split(b"\n", 3) + [b""] * 3)[:4]
    seconds = _seconds(_text(timeout))
    photo: bytes | memoryview = body
    if kind:
        photo = _file(body, _text(kind))
    for who in (ANYBODY, caller()):
        wishes: list[PhotoQuery] = []
        try:
            wishes.append(read_query(_query(query), photos=photos(), caller=who))
        except Refusal as refusal:
            check_problem(refusal)
        for each in wishes:
            _check_request(photo_request(photo, each, request_id="1", seconds_left=seconds), photo=photo)


def _seconds(text: str) -> float | None:
    try:
        seconds = read_timeout(text)
    except Refusal as refusal:
        check_problem(refusal)
        return None
    hold(seconds is not None and 0 < seconds <= LONGEST_TIMEOUT, f"a timeout of {seconds}")
    return seconds


def _file(body: bytes, kind: str) -> bytes | memoryview:
    file = memoryview(b"")
    with contextlib.suppress(_Ended):
        try:
            file = one_file(body, content_type=kind)
        except Refusal as refusal:
            check_problem(refusal)
            raise _Ended from None
        hold(len(file) > 0, "an empty file was accepted")
        hold(file.obj is body, "the file is a copy")
        hold(body.count(bytes(file)) > 0, "the file is not in the body")
    return file


class _Ended(Exception):
    pass


def _query(query: bytes) -> "MultiDictProxy[str]":
    """As aiohttp reads the target of a request."""
    text = query.decode("utf-8", "surrogateescape")
    return URL.build(path="/v1/analyze", query_string=text.partition("#")[0], encoded=True).query


def _check_request(message: bytes, *, photo: bytes | memoryview) -> None:
    """A refusal here would be the gateway's own mistake, and not the client's."""
    request = read_request(message)
    validate(request, served())
    hold(bytes(request.inputs[0].raw or b"") == bytes(photo), "another photo")


def check_problem(refusal: Refusal) -> None:
    """That a refusal is a problem with one line of text and a documented status."""
    hold(refusal.code in _CODES, f"{refusal.code} is refused with")
    hold(refusal.sentence.isprintable(), f"what can't stand in one line: {refusal.sentence!r}")
    response = Problem(refusal).response(request_id="1")
    hold(response.status in STATUSES, f"the status {response.status} is in no document")
    hold(isinstance(response.body, bytes) and "detail" in json.loads(response.body), "no problem")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "surrogateescape")


def seeds() -> list[bytes]:
    """Queries of every parameter, and forms as curl and browsers write them."""
    form = b'--%b\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n' % _BOUNDARY
    form += b"Content-Type: image/jpeg\r\n\r\n\xff\xd8\xff\xd9\r\n--%b--\r\n" % _BOUNDARY
    field = b'--%b\r\nContent-Disposition: form-data; name="tasks"\r\n\r\nage\r\n' % _BOUNDARY
    kind = b"multipart/form-data; boundary=" + _BOUNDARY
    names = photos().first.contract.names
    numbers = [f"{name}={parameter.default}" for name, parameter in photos().first.parameters.items()]
    queries = ["", f"tasks={names[0]}", f"tasks={','.join(names)}&model=", "&".join(numbers), *numbers]
    queries += ["min_score=1e999", "min_score=nan", "max_faces=-1", "tasks=%00&tasks=%F0%9F", "tasks=+"]
    lines = [query.encode() + b"\n2.5\n\n\xff\xd8" for query in queries]
    return [*lines, b"\n3600\n" + kind + b"\n" + form, b"\n0\n" + kind + b"\n" + field + form]


def mutate(data: bytes, most: int, numbers: random.Random, change: Change) -> bytes:
    """Changes one of the four parts; the others stay in their places."""
    parts = (data.split(b"\n", 3) + [b""] * 3)[:4]
    at = numbers.randrange(4)
    changed = change(parts[at], most)
    if numbers.random() < 0.5:
        place = numbers.randrange(len(changed) + 1)
        changed = changed[:place] + numbers.choice(_WORDS[at]) + changed[place:]
    parts[at] = changed if at == 3 else changed.replace(b"\n", b"%0A")
    return b"\n".join(parts)[:most]


TARGET = Target(
    name="rest_reader",
    about="deploy/gateway/rest/: query, timeout, form, and the request that they become",
    run=run,
    seeds=seeds,
    mutate=mutate,
    minutes=2,
    max_bytes=MAX_BYTES,
)
