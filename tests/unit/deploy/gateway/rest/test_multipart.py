"""A form with one file: its bytes as they are, and a sentence for every other form."""

import contextlib
import random

import pytest

from deploy.gateway.refusals import Refusal
from deploy.gateway.rest.multipart import one_file

BOUNDARY = "----b0undary"
TYPE = f'multipart/form-data; boundary="{BOUNDARY}"'


def part(content: bytes, *, name: str = "photo", filename: str | None = "a.jpg", more: str = "") -> bytes:
    file = "" if filename is None else f'; filename="{filename}"'
    head = f'Content-Disposition: form-data; name="{name}"{file}\r\n{more}\r\n'
    return f"--{BOUNDARY}\r\n{head}".encode() + content + b"\r\n"


def form(*parts: bytes, end: str = f"--{BOUNDARY}--\r\n") -> bytes:
    return b"".join(parts) + end.encode()


def refusal_of(body: bytes, *, content_type: str = TYPE) -> Refusal:
    with pytest.raises(Refusal) as caught:
        one_file(body, content_type=content_type)
    return caught.value


@pytest.mark.parametrize(
    "content",
    [
        b"x",
        b"\r\n",
        b"\r\n--",
        bytes(range(256)) * 100,
        f"x--{BOUNDARY}".encode(),
        f"\r\n--{BOUNDARY[:-1]}".encode(),
    ],
)
def test_the_file_comes_out_as_it_was(content: bytes) -> None:
    assert bytes(one_file(form(part(content)), content_type=TYPE)) == content
    with_preamble = b"This is a message with several parts.\r\n" + form(part(content))
    assert bytes(one_file(with_preamble, content_type=TYPE)) == content


def test_a_picture_without_a_file_name_is_a_file() -> None:
    body = form(part(b"jpeg", filename=None, more="Content-Type: image/jpeg\r\n"))
    assert bytes(one_file(body, content_type=TYPE)) == b"jpeg"


def test_two_photos_are_refused_and_so_is_none() -> None:
    assert "2 files" in refusal_of(form(part(b"one"), part(b"two"))).sentence
    assert "no file" in refusal_of(form()).sentence
    assert "no file" in refusal_of(form(part(b""))).sentence


def test_a_field_beside_the_file_belongs_in_the_query() -> None:
    refusal = refusal_of(form(part(b"photo"), part(b"0.5", name="min_score", filename=None)))
    assert "min_score" in refusal.sentence
    assert "query" in refusal.sentence


@pytest.mark.parametrize("more", ["Content-Transfer-Encoding: base64\r\n", "Content-Encoding: gzip\r\n"])
def test_a_file_that_is_encoded_once_more_is_refused(more: str) -> None:
    assert refusal_of(form(part(b"eHg=", more=more))).reason == "media_type"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary",
        part(b"no end"),
        form(part(b"x"), end=f"--{BOUNDARY}-"),
        f"--{BOUNDARY}\r\nno blank line".encode(),
        f"--{BOUNDARY}junk\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\r\nA: {'x' * 9000}\r\n\r\nx\r\n--{BOUNDARY}--".encode(),
        f"--{BOUNDARY}\r\n".encode() + b"\xff\xfe: x\r\n\r\nx\r\n" + f"--{BOUNDARY}--".encode(),
        b"".join(part(b"x", name=str(number)) for number in range(40)),
    ],
)
def test_a_broken_form_is_refused(body: bytes) -> None:
    assert refusal_of(body).reason in ("invalid", "media_type")


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", f"multipart/form-data; boundary={'x' * 71}"],
)
def test_a_form_without_a_boundary_is_refused(content_type: str) -> None:
    assert "boundary" in refusal_of(form(part(b"x")), content_type=content_type).sentence


def test_any_bytes_are_a_file_or_a_refusal() -> None:
    random_ = random.Random(1)
    whole = form(part(b"photo", more="Content-Type: image/jpeg\r\n"), part(b"0.5", name="x", filename=None))
    pieces = [f"--{BOUNDARY}".encode(), b"\r\n", b"--", b"Content-Disposition: form-data", b":", b'"', b"\0"]
    for _ in range(2000):
        body = bytearray(whole)
        for _ in range(random_.randint(1, 6)):
            at = random_.randrange(len(body) + 1)
            body[at : at + random_.randint(0, 12)] = random_.choice(pieces)
        with contextlib.suppress(Refusal):
            assert len(one_file(bytes(body), content_type=TYPE)) <= len(body)


def test_a_form_of_nothing_but_beginnings_is_refused() -> None:
    body = f"--{BOUNDARY}\r\n\r\n".encode() + f"\r\n--{BOUNDARY[:-1]}".encode() * 200_000
    assert refusal_of(body).reason == "invalid"
