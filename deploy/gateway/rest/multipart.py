"""multipart/form-data with one file (RFC 7578), from a body that is in memory and within the limits.

Every step goes forward through the body once, and copies nothing of it.
"""

import email.message
import email.parser
import email.policy
import re

from deploy.gateway.refusals import Refusal, invalid
from deploy.gateway.rest.problems import unsupported

FORM = "multipart/form-data"

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")  # RFC 2046, 5.1.1
_HEADER_BYTES = 8192
_PARTS = 16
_AS_IT_IS = ("", "7bit", "8bit", "binary")
_FIELD_CHARACTERS = 256


def one_file(body: bytes | bytearray, *, content_type: str) -> memoryview:
    """The bytes of the form's one file; Refusal for a form that has none, several, or other fields."""
    view, files = memoryview(body), []
    for count, (start, end) in enumerate(_parts(body, b"--" + _boundary(content_type))):
        if count >= _PARTS:
            raise invalid(f"the form has more than {_PARTS} parts: send one with one file")
        blank = body.find(b"\r\n\r\n", start, min(end, start + _HEADER_BYTES))
        if body[start : start + 2] == b"\r\n":
            blank, content = start, start + 2
        elif blank >= 0:
            content = blank + 4
        else:
            raise _malformed("a part's headers have no end")
        head = _head(body[start:blank])
        if head.get_filename() is None and head.get_content_maintype() != "image":
            name = str(head.get_param("name", header="content-disposition"))[:_FIELD_CHARACTERS]
            raise invalid(
                f"the form has the field {name!a} beside its file: send what is not the photo in the query, "
                "as in ?tasks=NAME"
            )
        if str(head.get("Content-Transfer-Encoding", "")).strip().lower() not in _AS_IT_IS or head.get(
            "Content-Encoding"
        ):
            raise unsupported("the form's file is encoded once more: send the picture's bytes as they are")
        files.append(view[content:end])
    if len(files) > 1:
        raise invalid(f"the form has {len(files)} files: send one photo in a request")
    if not files or not files[0]:
        raise invalid("the form has no file: send one, as `curl -F photo=@photo.jpg` does")
    return files[0]


def _boundary(content_type: str) -> bytes:
    # Bytes that are no UTF-8 are surrogates in aiohttp's text.
    head = _head(f"Content-Type: {content_type}".encode(errors="surrogateescape"))
    boundary = head.get_param("boundary")
    if not isinstance(boundary, str) or not _BOUNDARY.fullmatch(boundary):
        raise invalid(f"the Content-Type {FORM} lacks a boundary that can be used: let a library write it")
    return boundary.encode()


def _parts(body: bytes | bytearray, delimiter: bytes) -> "list[tuple[int, int]]":
    """Where each part begins and ends, its headers included."""
    parts: list[tuple[int, int]] = []
    if body.startswith(delimiter):
        at = 0
    elif (at := body.find(b"\r\n" + delimiter)) >= 0:
        at += 2
    else:
        raise _malformed("its boundary is not in it")
    while len(parts) <= _PARTS:
        start = at + len(delimiter)
        if body[start : start + 2] == b"--":
            return parts
        line = body.find(b"\r\n", start, start + 80)
        if line < 0 or body[start:line].strip(b" \t"):
            raise _malformed("a boundary is followed by something")
        end = body.find(b"\r\n" + delimiter, line)
        if end < 0:
            raise _malformed("its last boundary is missing")
        parts.append((line + 2, max(end, line + 2)))
        at = end + 2
    return parts


def _head(lines: bytes | bytearray) -> email.message.Message:
    try:
        text = lines.decode()
    except UnicodeDecodeError:
        raise _malformed("a header is no UTF-8") from None
    return email.parser.HeaderParser(policy=email.policy.compat32).parsestr(text)


def _malformed(why: str) -> Refusal:
    return invalid(f"the form can't be read ({why}): send it as `curl -F photo=@photo.jpg` does")
