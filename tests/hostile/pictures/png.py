"""PNG files of every sort: depths and colours, interlacing, chunks at fault, small files of huge pictures."""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from tests.helpers.encoded_pictures import chunk, png
from tests.hostile.pictures.files import (
    CUT,
    DAMAGED,
    DRAWN,
    LARGE,
    PORTRAIT,
    QUARTERS,
    UNDECODABLE,
    Answered,
    Files,
    HostileFile,
    Refused,
    of_kind,
    portrait,
    quarters,
    save,
)

_HEAD = 33  # bytes of signature and header
_END = chunk(b"IEND", b"")
GREY = Answered(size=portrait().size, shows="portrait", tolerance=25)  # without the portrait's colours
# Adam7: first column and row of each pass, and its steps.
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def pngs() -> Iterator[HostileFile]:
    """All of them."""
    for kind, files in (
        ("PNG, kinds", _kinds()),
        ("PNG, chunks", _chunks()),
        ("PNG, pixels at fault", _pixels()),
        ("PNG, sizes", _sizes()),
        ("PNG, bombs", _bombs()),
    ):
        yield from of_kind(kind, files, form="PNG")


def interlaced(pixels: NDArray[np.uint8]) -> bytes:
    """An Adam7 PNG of pixels [H, W, 3]."""
    height, width, _ = pixels.shape
    rows = bytearray()
    for left, top, across, down in _PASSES:
        part = pixels[top::down, left::across]
        if part.size:
            for row in part:
                rows += b"\0" + row.tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1)
    return _file(header, zlib.compress(bytes(rows)))


def _file(header: bytes, data: bytes, *, before: bytes = b"") -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", data) + _END


def _sixteen(image: Image.Image, kind: int) -> bytes:
    """16 bits a channel; an alpha channel is opaque."""
    values = np.asarray(image).astype(np.uint16) * 257
    values = values.reshape(*values.shape[:2], -1)
    if kind in (4, 6):
        values = np.concatenate([values, np.full_like(values[..., :1], 65535)], axis=2)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(width=image.width, height=image.height, depth=16, kind=kind, rows=rows)


def _kinds() -> Files:
    photo, grey = portrait(), portrait().convert("L")
    opaque = Image.new("L", photo.size, 255)
    yield "RGB", save(photo, "PNG"), PORTRAIT
    yield "RGBA, opaque", save(Image.merge("RGBA", (*photo.split(), opaque)), "PNG"), PORTRAIT
    yield (
        "RGBA, clear",
        save(Image.merge("RGBA", (*photo.split(), Image.new("L", photo.size))), "PNG"),
        Answered(size=photo.size),
    )
    yield "grey", save(grey, "PNG"), GREY
    yield "grey with alpha, opaque", save(Image.merge("LA", (grey, opaque)), "PNG"), GREY
    yield "1 bit", save(photo.convert("1"), "PNG"), Answered(size=photo.size)
    for bits in (1, 2, 4, 8):
        palette = photo.quantize(2**bits)
        shown = PORTRAIT if bits == 8 else Answered(size=photo.size)
        yield f"palette of {bits} bits", save(palette, "PNG", bits=bits), shown
    yield (
        "palette, transparent entries",
        save(photo.quantize(16), "PNG", transparency=bytes(16)),
        Answered(size=photo.size),
    )
    yield "palette, opaque entries", save(photo.quantize(255), "PNG", transparency=b"\xff" * 255), PORTRAIT
    yield "16 bits, RGB", _sixteen(photo, 2), PORTRAIT
    yield "16 bits, RGBA", _sixteen(photo, 6), PORTRAIT
    yield "16 bits, grey", _sixteen(grey, 0), GREY
    yield "16 bits, grey with alpha", _sixteen(grey, 4), GREY
    yield "RGB with a transparent colour", save(quarters(), "PNG", transparency=(1, 2, 3)), QUARTERS
    yield "interlaced", interlaced(np.asarray(photo)), PORTRAIT
    for size in ((1, 1), (2, 9), (5, 3)):
        small = np.full((size[1], size[0], 3), 77, np.uint8)
        yield f"interlaced, {size[0]} x {size[1]}", interlaced(small), Answered(size=size)
    yield (
        "animated (APNG)",
        save(photo, "PNG", save_all=True, append_images=[ImageOps.invert(photo)]),
        PORTRAIT,
    )


def _chunks() -> Files:
    plain = save(quarters(), "PNG")
    head, body = plain[:_HEAD], plain[_HEAD:]
    yield "no header", plain[:8] + body, DAMAGED
    yield "two headers", head + plain[8:], DAMAGED
    yield "no pixels", head + _END, DAMAGED
    yield "nothing but the signature", plain[:8], CUT
    yield "no end", plain[:-12], CUT
    yield "an end with a body", plain[:-12] + chunk(b"IEND", b"x" * 9), QUARTERS
    yield "text behind the end", plain + b"text" * 99, QUARTERS
    yield "a palette that is missing", png(width=8, height=8, kind=3, rows=bytes(72)), DAMAGED
    palette = chunk(b"PLTE", bytes(range(9)))
    yield (
        "a palette entry that is missing",
        png(width=8, height=8, kind=3, rows=(b"\0" + bytes(range(8))) * 8, extra=palette),
        Answered(size=(8, 8), may_refuse="can't be decoded"),
    )
    yield (
        "a palette of 7 bytes",
        png(width=8, height=8, kind=3, rows=bytes(72), extra=chunk(b"PLTE", bytes(7))),
        Answered(size=(8, 8), may_refuse="can't be decoded"),
    )
    yield (
        "a palette of 300 colours",
        png(width=8, height=8, kind=3, rows=bytes(72), extra=chunk(b"PLTE", bytes(900))),
        Answered(size=(8, 8), may_refuse="can't be decoded"),
    )
    yield (
        "an empty palette",
        png(width=8, height=8, kind=3, rows=bytes(72), extra=chunk(b"PLTE", b"")),
        Answered(size=(8, 8), may_refuse="can't be decoded|is damaged"),
    )
    yield (
        "transparency before its palette",
        png(width=8, height=8, kind=3, rows=bytes(72), extra=chunk(b"tRNS", bytes(3)) + palette),
        Answered(size=(8, 8), may_refuse="can't be decoded"),
    )
    yield (
        "transparency longer than its palette",
        png(width=8, height=8, kind=3, rows=bytes(72), extra=palette + chunk(b"tRNS", bytes(900))),
        Answered(size=(8, 8), may_refuse="can't be decoded"),
    )
    yield (
        "transparency of one byte in grey",
        png(width=8, height=8, kind=0, rows=bytes(72), extra=chunk(b"tRNS", b"\1")),
        Answered(size=(8, 8)),
    )
    yield (
        "transparency of no byte in grey",
        png(width=8, height=8, kind=0, rows=bytes(72), extra=chunk(b"tRNS", b"")),
        Answered(size=(8, 8)),
    )
    yield (
        "transparency of grey beyond 8 bits",
        png(width=8, height=8, depth=2, kind=0, rows=bytes(24), extra=chunk(b"tRNS", b"\xff\xff")),
        Answered(size=(8, 8)),
    )
    for name, kind in (("critical", b"CRIT"), ("Apple's own (CgBI)", b"CgBI"), ("harmless", b"haRm")):
        expected: Answered | Refused = DAMAGED if kind == b"CgBI" else QUARTERS
        added = (
            plain[:8] + chunk(kind, bytes(4)) + plain[8:]
            if kind == b"CgBI"
            else head + chunk(kind, b"?") + body
        )
        yield f"an unknown chunk, {name}", added, expected
    yield "a chunk of 4,294,967,295 bytes", head + b"\xff\xff\xff\xff" + body[4:], CUT
    yield "a chunk type of digits", head + struct.pack(">I", 0) + b"1234" + bytes(4) + body, DAMAGED
    yield "a wrong checksum", head[:-1] + bytes([head[-1] ^ 1]) + body, Refused(words="checksum")
    yield "900 empty chunks", head + chunk(b"teXt", b"") * 900 + body, QUARTERS
    yield "100,000 empty chunks", head + chunk(b"teXt", b"") * 100_000 + body, Refused(words="chunks")
    data = plain[_HEAD + 8 : -16]
    single = b"".join(chunk(b"IDAT", data[at : at + 1]) for at in range(len(data)))
    yield "pixels a byte a chunk", head + single + _END, QUARTERS
    half = len(data) // 2
    split = head + chunk(b"IDAT", data[:half]) + chunk(b"teXt", b"a\0b") + chunk(b"IDAT", data[half:]) + _END
    yield "text between pixels", split, QUARTERS
    yield "a colour profile of junk", head + chunk(b"iCCP", b"junk\0\0" + bytes(99)) + body, QUARTERS
    bomb = zlib.compress(bytes(50_000_000), 9)
    yield "a text of 50 MB in 50 kB", head + chunk(b"zTXt", b"a\0\0" + bomb) + body, QUARTERS
    yield "a colour profile of 50 MB in 50 kB", head + chunk(b"iCCP", b"a\0\0" + bomb) + body, QUARTERS
    yield "a gamma of 0", head + chunk(b"gAMA", bytes(4)) + body, QUARTERS
    yield "a background out of range", head + chunk(b"bKGD", b"\xff" * 6) + body, QUARTERS
    yield "sizes of pixels of 0", head + chunk(b"pHYs", bytes(9)) + body, QUARTERS
    yield "a frame control of nothing", head + chunk(b"fcTL", bytes(26)) + body, QUARTERS


def _pixels() -> Files:
    width, height = DRAWN
    rows = b"".join(b"\0" + row.tobytes() for row in np.asarray(quarters()))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(rows)
    yield "a byte too few", _file(header, zlib.compress(rows[:-1])), UNDECODABLE
    yield "half of them", _file(header, zlib.compress(rows[: len(rows) // 2])), UNDECODABLE
    yield "twice as many", _file(header, zlib.compress(rows * 2)), QUARTERS
    yield "50 MB more of them", _file(header, zlib.compress(rows + bytes(50_000_000), 9)), QUARTERS
    yield "no compressed byte", _file(header, b""), UNDECODABLE
    yield "noise", _file(header, bytes(range(256))), UNDECODABLE
    yield "uncompressed", _file(header, rows), UNDECODABLE
    yield (
        "a checksum of the pixels that is wrong",
        _file(header, packed[:-1] + b"?"),
        Answered(size=DRAWN, shows="quarters", may_refuse="can't be decoded"),
    )
    yield "the compressed data cut off", _file(header, packed[: len(packed) // 2]), UNDECODABLE
    yield "a filter that is none", _file(header, zlib.compress(b"\x09" + rows[1:])), UNDECODABLE
    yield "a window of 64 kB", _file(header, b"\x88" + packed[1:]), UNDECODABLE
    for at, name, value in ((8, "depth", 3), (8, "depth", 0), (9, "colour", 1), (9, "colour", 7),
                            (10, "compression", 1), (11, "filtering", 64),
                            (12, "interlacing", 2)):  # fmt: skip
        changed = header[:at] + bytes([value]) + header[at + 1 :]
        yield f"{name} {value}", _file(changed, packed), DAMAGED
    yield "a header of 12 bytes", _file(header[:12], packed), DAMAGED
    yield "interlacing announced of plain rows", _file(header[:12] + b"\1", packed), UNDECODABLE


def _sizes() -> Files:
    yield "1 x 1", png(width=1, height=1, rows=b"\0abc"), Answered(size=(1, 1))
    yield "1 x 1 of one bit", png(width=1, height=1, depth=1, kind=0, rows=b"\0\xff"), Answered(size=(1, 1))
    yield "20,000 x 1", png(width=20_000, height=1, rows=bytes(20_001), kind=0), Answered(size=(20_000, 1))
    yield "1 x 20,000", png(width=1, height=20_000, rows=bytes(40_000), kind=0), Answered(size=(1, 20_000))
    yield (
        "1,000,000 x 1",
        png(width=1_000_000, height=1, rows=bytes(1_000_001), kind=0),
        Answered(size=(1_000_000, 1), may_refuse="can't be decoded"),
    )
    yield (
        "1 x 1,000,000",
        png(width=1, height=1_000_000, rows=bytes(2_000_000), kind=0),
        Answered(size=(1, 1_000_000), may_refuse="can't be decoded"),
    )
    yield "0 x 5", png(width=0, height=5), Refused(words="0 x 5")
    yield "5 x 0", png(width=5, height=0), Refused(words="5 x 0")
    yield "0 x 0", png(width=0, height=0), Refused(words="0 x 0")
    yield "2,147,483,647 x 2,147,483,647", png(width=2**31 - 1, height=2**31 - 1), LARGE
    yield "4,294,967,295 x 1", png(width=2**32 - 1, height=1), LARGE
    yield "50,000,001 x 1", png(width=50_000_001, height=1), LARGE
    yield (
        "7,000 x 7,000 of 16 bits, 4 channels",
        png(width=7000, height=7000, depth=16, kind=6),
        Refused(words="8 bytes a pixel"),
    )


def _bombs() -> Files:
    yield (
        "50,000 x 50,000 in a few kB",
        png(width=50_000, height=50_000, depth=1, kind=0, rows=bytes(2**22)),
        LARGE,
    )
    yield (
        "20,000 x 20,000, whole, 1 bit",
        png(width=20_000, height=20_000, depth=1, kind=0, rows=bytes(20_000 * 2501)),
        LARGE,
    )
    yield (
        "7,000 x 7,000, whole, 1 bit",
        png(width=7000, height=7000, depth=1, kind=0, rows=bytes(7000 * 876)),
        Answered(size=(7000, 7000)),
    )
    yield (
        "7,000 x 7,000 of RGBA, hardly any of it",
        png(width=7000, height=7000, kind=6, rows=bytes(1000)),
        UNDECODABLE,
    )
    yield (
        "7,000 x 7,000 interlaced, hardly any of it",
        _file(struct.pack(">IIBBBBB", 7000, 7000, 8, 2, 0, 0, 1), zlib.compress(bytes(10_000))),
        UNDECODABLE,
    )
