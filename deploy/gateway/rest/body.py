"""The photo of a request: its body, or the one file of a form. Limits come before the bytes."""

import re

import grpc
from aiohttp import HttpVersion11, web

from deploy.gateway.front.request import shown
from deploy.gateway.refusals import Refusal, invalid
from deploy.gateway.rest.multipart import FORM, one_file
from deploy.gateway.rest.problems import unsupported

# What a body may be called: pictures, bytes of any kind, and what curl calls --data-binary.
PLAIN = ("application/octet-stream", "application/x-www-form-urlencoded")
_PICTURE = re.compile(r"image/[a-z0-9!#$&^_.+-]+")
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def check_head(request: web.BaseRequest, *, limit: int) -> None:
    """Refusal for a body that would not be taken, before any of it is read."""
    length = request.content_length
    if length is not None and length > limit:
        raise too_large(length, limit)
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise unsupported(
            f"the body has the Content-Encoding '{shown(encoding)}', which is not taken: send the picture as "
            "it is, it is compressed already"
        )
    if "Content-Type" in request.headers:
        kind = request.content_type
        if kind not in (*PLAIN, FORM) and not _PICTURE.fullmatch(kind):
            raise unsupported(
                f"the body has the Content-Type '{shown(kind)}': send a picture as image/jpeg, image/png, "
                f"image/webp or {PLAIN[0]}, or a form as {FORM}"
            )


async def read_photo(request: web.BaseRequest, *, limit: int) -> memoryview:
    """The encoded picture; Refusal where there is none, or it is larger than `limit` bytes."""
    is_form = request.headers.get("Content-Type") is not None and request.content_type == FORM
    boundary = request.headers["Content-Type"] if is_form else ""
    body = await _read(request, limit=limit)
    if not body:
        raise invalid("the request has no body: send a photo as it is, with `curl --data-binary @photo.jpg`")
    return one_file(body, content_type=boundary) if is_form else memoryview(body)


async def _read(request: web.BaseRequest, *, limit: int) -> bytearray:
    expected = request.headers.get("Expect", "")
    if expected:
        if expected.lower() != "100-continue":
            raise invalid(f"the header Expect is '{shown(expected)}': leave it out, or send 100-continue")
        if request.version >= HttpVersion11:
            await request.writer.write(_CONTINUE)
            request.writer.output_size = 0  # it is no part of the answer
    body = bytearray()  # a list of chunks would leave holes of their size all over the heap
    try:
        async for chunk in request.content.iter_any():
            if len(body) + len(chunk) > limit:
                raise too_large(len(body) + len(chunk), limit)
            body += chunk
    except web.RequestPayloadError:
        raise invalid("the body can't be read: its chunks or its length are wrong") from None
    return body


def too_large(size: int, limit: int) -> Refusal:
    """413."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        f"the request has {size} bytes or more, and may have {limit}: send a smaller picture",
        reason="request_bytes",
    )
