"""Variants of requests over REST: methods, places, queries, headers, and what stands where a photo should."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from functools import partial

from tests.hostile.protocol.http1 import exchange
from tests.hostile.protocol.variant import CLOSED, End, Target, Variant

ANALYZE = b"/v1/analyze"
BAD = ("400",)
UNREADABLE = ("400", CLOSED)  # what is no HTTP need not be answered
OK = ("200",)

# A request's bytes of the photo's.
Make = Callable[[bytes], bytes]
Case = tuple[str, Make, tuple[str, ...], str]


def post(
    body: bytes,
    *,
    target: bytes = ANALYZE,
    method: bytes = b"POST",
    headers: tuple[bytes, ...] = (),
    length: bytes | None = None,
    version: bytes = b"HTTP/1.1",
) -> bytes:
    """A request that ends its connection. `length` replaces the Content-Length; b"" leaves it out."""
    given = str(len(body)).encode() if length is None else length
    lines = [b" ".join((method, target, version)), b"Host: localhost", b"Connection: close", *headers]
    if given:
        lines.append(b"Content-Length: " + given)
    return b"\r\n".join([*lines, b"", body])


def made(kind: str, cases: Iterator[Case]) -> Iterator[Variant]:
    """Variants of one kind."""
    for name, make, codes, words in cases:
        yield Variant(
            name=f"{kind}: {name}",
            kind=kind,
            send=_sent(make),
            codes=codes,
            words=words,
        )


def _sent(make: Make) -> Callable[[Target], End]:
    return lambda target: exchange(target.rest_address, make(target.encoded))


def always(data: bytes) -> Make:
    """These bytes, whatever the photo is."""
    return lambda photo: data


def requests() -> Iterator[Variant]:
    """All of them."""
    yield from made("REST, methods", _methods())
    yield from made("REST, places", _places())
    yield from made("REST, queries", _queries())
    yield from made("REST, headers", _headers())
    yield from made("REST, bodies", _bodies())


def _methods() -> Iterator[Case]:
    yield "POST", post, OK, ""
    for name in (b"GET", b"PUT", b"DELETE", b"PATCH", b"TRACE", b"PROPFIND", b"REPORT"):
        yield (
            name.decode(),
            partial(post, method=name),
            ("405",),
            "takes OPTIONS, POST",
        )
    yield "HEAD", lambda photo: post(b"", method=b"HEAD"), ("405",), ""
    yield "OPTIONS", lambda photo: post(b"", method=b"OPTIONS"), ("204",), ""
    yield "CONNECT", lambda photo: post(b"", method=b"CONNECT"), ("400", "404", "405"), ""
    for name in (b"BREW", b"post", b"P\0ST", b"POST" * 5000, b""):
        yield repr(name[:9]), partial(post, method=name), (*UNREADABLE, "405"), ""
    for place in (b"/v1/tasks", b"/v1/health/live", b"/v1/health/ready", b"/openapi.json", b"/docs"):
        yield (
            f"GET {place.decode()}",
            always(post(b"", method=b"GET", target=place)),
            OK,
            "",
        )
        yield (
            f"POST {place.decode()}",
            partial(post, target=place),
            ("405",),
            "takes GET",
        )


def _places() -> Iterator[Case]:
    for place in (
        b"/", b"/v1", b"/v1/analyze/", b"//v1/analyze", b"/v1//analyze", b"/V1/analyze", b"/v1/analyze%00",
        b"/v1/analyze;x=y", b"/v1/analyze/..", b"/v2/models/photo_analysis/infer", b"/metrics",
        b"/%2e%2e/%2e%2e/etc/passwd", b"/../../etc/passwd", b"/docs/../../etc/passwd",
        b"/.git/config", b"/v1/analyze\\", b"/%ff%fe", b"/%", b"/%zz", b"/<script>", b"/v1/analyze%2f",
        b"/v2/health/ready", b"/v1/analyze%0d%0aX:y",
    ):  # fmt: skip
        yield (
            place.decode(),
            partial(post, target=place),
            ("404",),
            "nothing is here",
        )
    for place in (b"*", b"v1/analyze", b"http://elsewhere:80/v1/x", b"ftp://x/v1/x", b"localhost:80"):
        yield place.decode(), partial(post, target=place), ("400", "404"), ""
    yield "of raw bytes", lambda photo: post(photo, target=b"/\xff\xfe\xfd"), ("400", "404", CLOSED), ""
    yield "with NUL", lambda photo: post(photo, target=b"/v1/\0analyze"), UNREADABLE, ""
    yield "of 100,000 letters", lambda photo: post(photo, target=b"/" + b"a" * 100_000), UNREADABLE, "no HTTP"
    yield "with dots inside", lambda photo: post(photo, target=b"/v1/./analyze"), ("200", "404"), ""
    yield (
        "with a percent sign for a letter",
        lambda photo: post(photo, target=b"/v1/%61nalyze"),
        ("200", "404"),
        "",
    )


def _queries() -> Iterator[Case]:
    def asked(query: bytes) -> Make:
        return lambda photo: post(photo, target=ANALYZE + b"?" + query)

    for query in (b"", b"min_score=0.7", b"max_faces=1", b"min_face=0.2",
                  b"min_score=5e-1", b"min_score=1.0"):  # fmt: skip
        yield repr(query), asked(query), OK, ""
    for text in (b"nan", b"NaN", b"inf", b"-inf", b"-1", b"2", b"1e400", b"-1e400", b"1e999999", b"high", b"",
                 b"%20", b"0x1", b"1_0", b"0,5", b"%D9%A1", b"0.5%00", b"%2B0.5", b"0" * 4000,
                 b"0." + b"1" * 4000, b"null", b"[0.5]", b"0.5;drop", b"%0d%0aSet-Cookie:%20a"):  # fmt: skip
        yield f"min_score={text[:24].decode()} of {len(text)}", asked(b"min_score=" + text), BAD, "min_score"
    for text in (
        b"nan",
        b"-1",
        b"0",
        b"1.5",
        b"1e2",
        b"9" * 30,
        b"9" * 4000,
        b"9999999",
        b"true",
        b"",
        b"%D9%A1",
    ):
        yield f"max_faces={text[:24].decode()} of {len(text)}", asked(b"max_faces=" + text), BAD, "max_faces"
    for text in (b"nan", b"-1", b"2", b"inf", b"-0.1", b"text", b"1e-400x"):
        yield f"min_face={text.decode()}", asked(b"min_face=" + text), BAD, "min_face"
    for text in (b"odd", b"", b",", b",,,", b"*", b"%00", b"..%2f..", b"age,odd", b"x" * 4000, b"a," * 2000,
                 b"%f0%9f%98%80", b"%ff", b"AGE", b"age%20"):  # fmt: skip
        yield f"tasks={text[:24].decode()} of {len(text)}", asked(b"tasks=" + text), BAD, "tasks|not served"
    for text in (
        b"odd",
        b"",
        b"photo_analysis",
        b"..%2fphoto_analysis",
        b"face_engine",
        b"face_detect",
        b"%00",
        b"x" * 4000,
    ):
        yield (
            f"model={text[:24].decode()} of {len(text)}",
            asked(b"model=" + text),
            ("400", "404"),
            "model|network|photo",
        )
    for name in (b"unknown=1", b"=1", b"MIN_SCORE=0.5", b"priority=1", b"timeout=1", b"sequence_id=1",
                 b"classification=3", b"__class__=1", b"min_score%00=0.5", b"%ff=1"):  # fmt: skip
        yield repr(name), asked(name), BAD, "not taken|query"
    yield "the same key twice", asked(b"min_score=0.5&min_score=0.6"), BAD, "twice"
    yield "the same key twice, coded", asked(b"tasks=age&%74asks=age"), BAD, "twice"
    yield "900 keys", asked(b"&".join(b"a%d=1" % number for number in range(900))), BAD, "not taken"
    yield "100,000 letters", asked(b"a=" + b"x" * 100_000), UNREADABLE, "no HTTP"
    yield "signs alone", asked(b"?&&&=&?"), BAD, "query"
    yield "a percent sign alone", asked(b"%"), BAD, "query"
    yield "a fragment", asked(b"min_score=0.5#x"), ("200", "400"), ""
    yield "a line end", asked(b"a=b\r\nX-Injected: yes"), ("400", CLOSED), ""


def _headers() -> Iterator[Case]:
    def with_headers(*lines: bytes) -> Make:
        return lambda photo: post(photo, headers=lines)

    for seconds in (b"nan", b"-1", b"0", b"1e4", b"inf", b"3601", b"1h", b"", b"9" * 400, b"\xd9\xa1"):
        yield f"a timeout of {seconds[:9]!r}", with_headers(b"X-Request-Timeout: " + seconds), BAD, ""
    yield "a timeout of a minute", with_headers(b"X-Request-Timeout: 60"), OK, ""
    for name in (b"i" * 129, b"\xc3\xa4", b"a\tb"):
        yield f"an id {name[:9]!r}", with_headers(b"X-Request-Id: " + name), BAD, ""
    yield "an id of spaces", with_headers(b"X-Request-Id:    "), BAD, "empty"
    yield "an id", with_headers(b"X-Request-Id: photo-7"), OK, ""
    yield "a key where none is wanted", with_headers(b"Authorization: Bearer " + b"k" * 4000), OK, ""
    yield "another sort of key", with_headers(b"Authorization: Basic Og=="), OK, ""
    for kind in (b"image/png", b"image/webp", b"image/*", b"application/octet-stream",
                 b"application/x-www-form-urlencoded", b"IMAGE/JPEG; a=b"):  # fmt: skip
        yield (
            f"the photo as {kind.decode()}",
            with_headers(b"Content-Type: " + kind),
            ("200", "415"),
            "Content-Type",
        )
    for kind in (b"application/json", b"text/plain", b"text/html", b"multipart/mixed; boundary=x",
                 b"application/grpc", b"image/"):  # fmt: skip
        yield (
            f"the photo as {kind.decode()}",
            with_headers(b"Content-Type: " + kind),
            ("415",),
            "Content-Type",
        )
    for kind in (b"a" * 4000, b"/", b"%s%n"):  # no type at all is taken as none
        yield f"the photo as {kind[:30].decode()}", with_headers(b"Content-Type: " + kind), ("415", "200"), ""
    for encoding in (b"gzip", b"deflate", b"br", b"zstd", b"gzip, gzip", b"rot13", b"x" * 4000):
        yield (
            f"encoding {encoding[:12].decode()}",
            with_headers(b"Content-Encoding: " + encoding),
            ("415",),
            "Encoding",
        )
    yield "encoding identity", with_headers(b"Content-Encoding: identity"), OK, ""
    bomb = gzip.compress(bytes(100_000_000), mtime=0)
    for coding, body in (("gzip", bomb), ("deflate", zlib.compress(bytes(100_000_000)))):
        yield (
            f"a bomb of {coding}",
            always(post(body, headers=(b"Content-Encoding: " + coding.encode(),))),
            ("415",),
            "Encoding",
        )
    yield "an expectation", with_headers(b"Expect: 100-continue"), OK, ""
    yield "an expectation that is none", with_headers(b"Expect: cake"), ("400", "417"), "Expect"
    yield "an upgrade to WebSocket", with_headers(b"Upgrade: websocket"), ("200", "400"), ""
    yield (
        "an upgrade to HTTP/2",
        with_headers(b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        ("200", "400"),
        "",
    )
    yield "another host", with_headers(b"X-Forwarded-Host: elsewhere", b"X-Forwarded-For: 1.2.3.4"), OK, ""
    yield "a range", with_headers(b"Range: bytes=0-18446744073709551615"), OK, ""
    yield "conditions", with_headers(b"If-None-Match: *", b"If-Match: x"), OK, ""
    yield "a method in a header", with_headers(b"X-HTTP-Method-Override: DELETE"), OK, ""
    yield "a cookie of 7 kB", with_headers(b"Cookie: a=" + b"b" * 7000), OK, ""
    yield "a header of 100 kB", with_headers(b"X-Large: " + b"v" * 100_000), UNREADABLE, "no HTTP"
    yield (
        "5,000 headers",
        with_headers(*[b"X-%d: y" % number for number in range(5000)]),
        UNREADABLE,
        "no HTTP",
    )
    yield "a header name of 9 kB", with_headers(b"x" * 9000 + b": y"), UNREADABLE, "no HTTP"
    for fault, line in (
        ("NUL in a value", b"X-A: b\0c"),
        ("NUL in a name", b"X-\0A: b"),
        ("a space before the colon", b"X-A : b"),
        ("no colon", b"X-A"),
        ("no name", b": b"),
        ("a name in brackets", b"X(A): b"),
        ("a line end alone", b"X-A: b\nX-B: c"),
        ("a return alone", b"X-A: b\rX-B: c"),
        ("a folded line", b"X-A: b\r\n c"),
    ):
        yield fault, with_headers(line), UNREADABLE, "no HTTP"


def _bodies() -> Iterator[Case]:
    yield "none", lambda photo: post(b""), BAD, "no body"
    for name, body in (
        ("200,000 brackets", b"[" * 200_000),
        ("braces", b'{"a":' * 100_000),
        ("a shape of 2^62", b'{"inputs":[{"name":"image","shape":[4611686018427387904],"data":[1]}]}'),
        ("a number of 100,000 digits", b"9" * 100_000),
        ("a form", b"photo=%FF%D8&min_score=0.5"),
        ("XML", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
        ("a photo in base64", b"/9j/4AAQSkZJRgABAQ=="),
        ("NUL", bytes(1000)),
        ("a request", b"POST /v1/analyze HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("a ModelInferRequest", b"\x0a\x0ephoto_analysis"),
    ):
        yield name, always(post(body)), ("422",), "not a picture|an SVG"
    yield "half a photo", lambda photo: post(photo[: len(photo) // 2]), ("422",), "cut short"
    yield "a photo and another", lambda photo: post(photo * 2), OK, ""
    yield "more than a request may have", lambda photo: post(b"", length=b"167772161"), ("413",), "may have"
    yield "2^63 bytes announced", lambda photo: post(b"", length=b"9223372036854775808"), ("413", "400"), ""
