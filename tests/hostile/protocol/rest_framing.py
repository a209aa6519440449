"""Variants of HTTP itself: lengths, chunks, requests within requests, and forms that are broken."""

from collections.abc import Iterator
from functools import partial

from tests.hostile.protocol.rest import ANALYZE, BAD, OK, UNREADABLE, Case, Make, always, made, post
from tests.hostile.protocol.variant import Variant

_HEAD = b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\n"
_INNER = b"GET /v1/tasks HTTP/1.1\r\nHost: localhost\r\n\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


def framings() -> Iterator[Variant]:
    """All of them."""
    yield from made("REST, lengths", _lengths())
    yield from made("REST, chunks", _chunks())
    yield from made("REST, lengths against chunks", _smuggling())
    yield from made("REST, versions and pipelines", _versions())
    yield from made("REST, forms", _forms())


def chunks(*parts: bytes) -> bytes:
    """A chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def _lengths() -> Iterator[Case]:
    def of(length: bytes) -> Make:
        return lambda photo: post(photo, length=length)

    for text in (b"-1", b"abc", b"+5", b"1e3", b"0x10", b"5.0", b"5,5", b"5 5", b"\xd9\xa1", b"''"):
        yield f"Content-Length {text!r}", of(text), UNREADABLE, ""
    yield "a length of nothing", lambda photo: post(photo, headers=(b"Content-Length:",), length=b""), (
        *UNREADABLE, "422",
    ), ""  # fmt: skip
    yield "a length of 400 digits", of(b"9" * 400), (*UNREADABLE, "413"), ""
    yield "zeros before it", lambda photo: post(photo, length=b"000%d" % len(photo)), ("200", *UNREADABLE), ""
    yield (
        "10 bytes more announced than sent",
        lambda photo: post(photo, length=b"%d" % (len(photo) + 10)).replace(b"Connection: close\r\n", b""),
        UNREADABLE,
        "",
    )
    yield (
        "10 bytes fewer announced than sent",
        lambda photo: post(photo, length=b"%d" % (len(photo) - 10)),
        ("422", "400"),
        "cut short|no HTTP",
    )
    yield (
        "two lengths that are the same",
        lambda photo: post(photo, headers=(b"Content-Length: %d" % len(photo),)),
        ("200", *UNREADABLE),
        "",
    )
    yield (
        "two lengths that are not",
        lambda photo: post(photo, headers=(b"Content-Length: 5",)),
        UNREADABLE,
        "",
    )
    yield "neither a length nor chunks", lambda photo: post(photo, length=b""), (*UNREADABLE, "411"), ""


def _chunks() -> Iterator[Case]:
    def body(make: Make, *, ends: bool = True) -> Make:
        return lambda photo: (
            _HEAD + _CHUNKED + (b"Connection: close\r\n" if ends else b"") + b"\r\n" + make(photo)
        )

    yield "one", body(chunks), OK, ""
    yield "a byte each", body(lambda photo: chunks(*[photo[at : at + 1] for at in range(len(photo))])), OK, ""
    yield "an extension", body(lambda photo: chunks(photo).replace(b"\r\n", b";a=b\r\n", 1)), OK, ""
    yield (
        "an extension of 100 kB",
        body(lambda photo: chunks(photo).replace(b"\r\n", b";" + b"a" * 100_000 + b"\r\n", 1)),
        (*UNREADABLE, "200"),
        "",
    )
    yield "a trailer", body(lambda photo: chunks(photo)[:-2] + b"X-Injected: yes\r\n\r\n"), ("200", "400"), ""
    yield "trailers of 1 MB", body(lambda photo: chunks(photo)[:-2] + b"X: y\r\n" * 170_000 + b"\r\n"), (
        *UNREADABLE, "200",
    ), ""  # fmt: skip
    for name, sent in (
        ("none", b""),
        ("of no size", b"\r\n\r\n"),
        ("of a negative size", b"-5\r\nabcde\r\n0\r\n\r\n"),
        ("of size 0x5", b"0x5\r\nabcde\r\n0\r\n\r\n"),
        ("of size +5", b"+5\r\nabcde\r\n0\r\n\r\n"),
        ("of size 5 with a space before", b" 5\r\nabcde\r\n0\r\n\r\n"),
        ("of size g", b"g\r\nabcde\r\n0\r\n\r\n"),
        ("of 2^64 - 1 bytes", b"ffffffffffffffff\r\nabcde"),
        ("of 2^64 bytes", b"10000000000000000\r\nabcde"),
        ("of 4,000 digits", b"0" * 4000 + b"5\r\nabcde\r\n0\r\n\r\n"),
        ("shorter than announced", b"a\r\nabcde\r\n0\r\n\r\n"),
        ("longer than announced", b"2\r\nabcde\r\n0\r\n\r\n"),
        ("with line ends alone", b"5\nabcde\n0\n\n"),
        ("without the last", b"5\r\nabcde\r\n"),
    ):
        yield f"a chunk {name}", body(always(sent), ends=False), (*UNREADABLE, "422"), ""
    yield "no byte in them", body(lambda photo: chunks()), BAD, "no body"


def _smuggling() -> Iterator[Case]:
    """What a proxy in front and this server could read differently: never two answers to one request."""

    def both(*lines: bytes, inner: bytes = _INNER) -> Make:
        return lambda photo: _HEAD + b"\r\n".join(lines) + b"\r\n\r\n" + b"0\r\n\r\n" + inner

    for name, lines in (
        ("both", (b"Content-Length: 5", b"Transfer-Encoding: chunked")),
        ("both, the other way round", (b"Transfer-Encoding: chunked", b"Content-Length: 60")),
        ("chunked twice", (b"Transfer-Encoding: chunked, chunked",)),
        ("chunked in two headers", (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked")),
        ("chunked and identity", (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity")),
        ("chunked is not the last", (b"Transfer-Encoding: chunked, gzip",)),
        ("xchunked", (b"Transfer-Encoding: xchunked",)),
        ("gzip", (b"Transfer-Encoding: gzip",)),
        ("a space before the colon", (b"Transfer-Encoding : chunked",)),
        ("a tab before the value", (b"Content-Length: 5", b"Transfer-Encoding:\tchunked")),
        ("a form feed before the value", (b"Content-Length: 5", b"Transfer-Encoding:\x0cchunked")),
        ("folded", (b"Content-Length: 5", b"Transfer-Encoding:\r\n chunked")),
        ("hidden behind a line end", (b"X: y\nTransfer-Encoding: chunked", b"Content-Length: 5")),
        ("hidden behind a return", (b"X: y\rTransfer-Encoding: chunked", b"Content-Length: 5")),
        ("in quotes", (b"Content-Length: 5", b'Transfer-Encoding: "chunked"')),
    ):
        yield name, both(*lines), BAD, "no HTTP"
    # Another header: five bytes are the body, and what follows is a request of its own.
    underlined = both(b"Content-Length: 5", b"Transfer_Encoding: chunked")
    yield "an underline", underlined, ("422,200",), "not a picture"
    yield (
        "a length of 0 and a request",
        lambda photo: post(b"", length=b"0").replace(b"Connection: close\r\n", b"") + _INNER,
        ("400,200", "400"),
        "",
    )


def _versions() -> Iterator[Case]:
    yield "HTTP/1.0", lambda photo: post(photo, version=b"HTTP/1.0"), OK, ""
    yield (
        "HTTP/1.0 without a host",
        lambda photo: post(photo, version=b"HTTP/1.0").replace(b"Host: localhost\r\n", b""),
        OK,
        "",
    )
    yield (
        "HTTP/1.0 in chunks",
        lambda photo: (
            b"POST /v1/analyze HTTP/1.0\r\n" + _CHUNKED + b"Connection: close\r\n\r\n" + chunks(photo)
        ),
        ("200", *UNREADABLE, "422"),
        "",
    )
    for version in (
        b"HTTP/0.9",
        b"HTTP/1.2",
        b"HTTP/2.0",
        b"HTTP/9.9",
        b"HTTP/11",
        b"HTP/1.1",
        b"http/1.1",
        b"",
    ):
        yield (
            f"version {version.decode()!r}",
            partial(post, version=version),
            BAD,
            "no HTTP",
        )
    yield (
        "the preface of HTTP/2",
        lambda photo: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(99),
        UNREADABLE,
        "",
    )
    yield "a TLS greeting", lambda photo: b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03" + bytes(500), UNREADABLE, ""
    yield "noise", lambda photo: bytes(range(256)) * 50, UNREADABLE, ""
    yield "empty lines alone", lambda photo: b"\r\n" * 5000, UNREADABLE, ""
    yield "the first line alone", lambda photo: b"POST /v1/analyze HTTP/1.1\r\n", UNREADABLE, ""
    yield "no host", lambda photo: post(photo).replace(b"Host: localhost\r\n", b""), ("200", "400"), ""
    yield "two hosts", lambda photo: post(photo, headers=(b"Host: elsewhere",)), ("200", "400"), ""
    yield "three requests at once", lambda photo: _INNER * 2 + post(photo), ("200,200,200",), ""
    yield (
        "a good one behind a bad one",
        lambda photo: _INNER.replace(b"tasks", b"odd") + post(photo),
        ("404,200",),
        "",
    )
    yield (
        "a good one behind a photo that is none",
        lambda photo: post(b"none").replace(b"Connection: close\r\n", b"") + post(photo),
        ("422,200",),
        "",
    )
    yield "100 requests at once", lambda photo: _INNER * 99 + post(photo), (",".join(["200"] * 100),), ""
    yield "line ends alone", lambda photo: post(photo).replace(b"\r\n", b"\n"), (*UNREADABLE, "200"), ""


def _forms() -> Iterator[Case]:
    part = (
        b'Content-Disposition: form-data; name="photo"; filename="a.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )

    def form(*parts: bytes, boundary: bytes = b"x", kind: bytes | None = None, end: bytes = b"--") -> bytes:
        line = b"\r\n--" + boundary
        body = line[2:] + b"".join(b"\r\n" + each + line for each in parts) + end + b"\r\n"
        given = b"multipart/form-data; boundary=" + boundary if kind is None else kind
        return post(body, headers=(b"Content-Type: " + given,))

    def of_kind(kind: bytes) -> Make:
        return lambda photo: form(part + photo, kind=kind)

    yield "one file", lambda photo: form(part + photo), OK, ""
    yield (
        "text before and behind",
        lambda photo: post(
            b"hello\r\n--x\r\n" + part + photo + b"\r\n--x--\r\nbye",
            headers=(b"Content-Type: multipart/form-data; boundary=x",),
        ),
        OK,
        "",
    )
    yield (
        "a path as the file's name",
        lambda photo: form(part.replace(b"a.jpg", b"../../etc/passwd") + photo),
        OK,
        "",
    )
    yield "a file's name of 4 kB", lambda photo: form(part.replace(b".jpg", b"a" * 4000) + photo), OK, ""
    yield "a file's name with a line end", lambda photo: form(part.replace(b"a.jpg", b"a%0ab\xff") + photo), (
        "200", "400",
    ), ""  # fmt: skip
    multipart = b"multipart/form-data"
    for name, kind in (
        ("no boundary", multipart),
        ("an empty boundary", multipart + b"; boundary="),
        ("a boundary in quotes without an end", multipart + b'; boundary="x'),
        ("a boundary of 71 letters", multipart + b"; boundary=" + b"b" * 71),
        ("a boundary of 4,000 letters", multipart + b"; boundary=" + b"b" * 4000),
        ("a boundary with a sign that it can't have", multipart + b"; boundary=x@y"),
        ("a boundary of UTF-8", multipart + b"; boundary=\xc3\xa4"),
        ("another boundary", multipart + b"; boundary=other"),
        ("two boundaries", multipart + b"; boundary=y; boundary=x"),
    ):
        yield name, of_kind(kind), ("400", "200"), "form"
    yield "no part", lambda photo: form(), BAD, "form"
    yield "no last boundary", lambda photo: form(part + photo, end=b""), BAD, "form"
    yield "something behind the boundary", lambda photo: form(part + photo, end=b"zz"), BAD, "form"
    yield "two files", lambda photo: form(part + photo, part + photo), BAD, "2 files"
    yield (
        "a field beside it",
        lambda photo: form(b'Content-Disposition: form-data; name="min_score"\r\n\r\n0.5', part + photo),
        BAD,
        "min_score",
    )
    yield (
        "a field alone",
        lambda photo: form(b'Content-Disposition: form-data; name="photo"\r\n\r\nabc'),
        BAD,
        "field",
    )
    yield "an empty file", lambda photo: form(part), BAD, "form"
    yield "headers without an end", lambda photo: form(part[:-2] + b"abc"), BAD, "form"
    yield "headers of 10 kB", lambda photo: form(b"X: " + b"y" * 10_000 + b"\r\n" + part + photo), BAD, "form"
    yield "no headers", lambda photo: form(b"\r\n" + photo), BAD, "form"
    yield (
        "a header that is no UTF-8",
        lambda photo: form(part.replace(b"a.jpg", b"\xff\xfe") + photo),
        BAD,
        "UTF-8",
    )
    yield "17 parts", lambda photo: form(*[part + b"a"] * 17), BAD, "parts"
    yield "10,000 parts", lambda photo: form(*[part + b"a"] * 10_000), BAD, "parts"
    yield (
        "a file in base64",
        lambda photo: form(b"Content-Transfer-Encoding: base64\r\n" + part + b"/9j/"),
        ("415",),
        "encoded",
    )
    yield (
        "a file in gzip",
        lambda photo: form(b"Content-Encoding: gzip\r\n" + part + photo),
        ("415",),
        "encoded",
    )
    yield (
        "a form in the form",
        lambda photo: form(
            b"Content-Type: multipart/mixed; boundary=y\r\n"
            b'Content-Disposition: form-data; name="a"; filename="b"'
            b"\r\n\r\n--y\r\n\r\n" + photo + b"\r\n--y--"
        ),
        ("422",),
        "not a picture",
    )
    yield "a file that is no photo", lambda photo: form(part + b"[" * 200_000), ("422",), "not a picture"
    yield (
        "line ends alone",
        lambda photo: post(
            b"--x\n" + part.replace(b"\r\n", b"\n") + photo + b"\n--x--\n",
            headers=(b"Content-Type: multipart/form-data; boundary=x",),
        ),
        BAD,
        "form",
    )
    yield (
        "half of it",
        lambda photo: post(
            b"--x\r\n" + part + photo[:99], headers=(b"Content-Type: multipart/form-data; boundary=x",)
        ),
        BAD,
        "form",
    )
    yield "in chunks", lambda photo: (
        b"POST " + ANALYZE + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + _CHUNKED
        + b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        + chunks(b"--x\r\n" + part + photo + b"\r\n--", b"x--\r\n")
    ), OK, ""  # fmt: skip
