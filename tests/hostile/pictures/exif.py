"""Exif blocks: all orientations in every format that has them, and blocks that lead a reader astray."""

import struct
from collections.abc import Iterator

from PIL import Image

from tests.helpers.encoded_pictures import STORED_AS, chunk
from tests.hostile.pictures.files import PORTRAIT, QUARTERS, HostileFile, portrait, quarters, save
from tests.hostile.pictures.jpeg import SOI, segment

_EXIF = b"Exif\0\0"


def tiff(
    value: int, *, order: str = "<", kind: int = 3, count: int = 1, first: int = 8, following: int = 0
) -> bytes:
    """A TIFF block of one directory at byte 8 with the orientation alone."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, first)
    packed = struct.pack(order + ("I" if kind == 4 else "H"), value).ljust(4, b"\0")
    entry = struct.pack(order + "HHHI", 1, 0x0112, kind, count) + packed
    return head + entry + struct.pack(order + "I", following)


def lying(image: Image.Image, orientation: int) -> Image.Image:
    """The picture as it is stored in a file of this orientation."""
    turn = STORED_AS.get(orientation)
    return image if turn is None else image.transpose(turn)


def in_jpeg(image: Image.Image, block: bytes) -> bytes:
    """A JPEG with these bytes as its Exif segment."""
    plain = save(image, "JPEG", quality=92, subsampling=0)
    return SOI + segment(0xE1, _EXIF + block) + plain[2:]


def exif_files() -> Iterator[HostileFile]:
    """All of them."""
    for orientation in range(10):
        stored = lying(portrait(), orientation)
        block = tiff(orientation, order="<>"[orientation % 2])
        png = save(stored, "PNG")
        for form, data in (
            ("JPEG", in_jpeg(stored, block)),
            ("PNG", png[:33] + chunk(b"eXIf", block) + png[33:]),
            ("WebP", save(stored, "WEBP", quality=90, exif=_EXIF + block)),
        ):
            yield HostileFile(
                name=f"{form} of orientation {orientation}",
                kind="Exif, orientations 0 to 9",
                data=data,
                expect=PORTRAIT,
            )
    for name, block in _blocks():
        yield HostileFile(
            name=f"Exif: {name}",
            kind="Exif, broken",
            data=in_jpeg(quarters(), block),
            expect=QUARTERS,
        )
    plain = save(quarters(), "JPEG", quality=92, subsampling=0)
    upside, turned = segment(0xE1, _EXIF + tiff(3)), save(lying(quarters(), 3), "JPEG", subsampling=0)
    for name, data in (
        ("the first of two blocks counts", SOI + upside + segment(0xE1, _EXIF + tiff(6)) + turned[2:]),
        ("a block behind the pixels is read", turned[:-2] + upside + turned[-2:]),
        ("a block behind the end is not", plain + upside),
        ("200 blocks", SOI + upside * 200 + turned[2:]),
        ("a segment that only begins so", SOI + segment(0xE1, b"Exif") + plain[2:]),
        ("a block as XMP", SOI + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + tiff(3)) + plain[2:]),
        ("a value as LONG", SOI + segment(0xE1, _EXIF + tiff(3, kind=4)) + turned[2:]),
        ("a value of another type", SOI + segment(0xE1, _EXIF + tiff(3, kind=7)) + turned[2:]),
        ("a value that counts 2^32 - 1", SOI + segment(0xE1, _EXIF + tiff(3, count=2**32 - 1)) + turned[2:]),
    ):  # fmt: skip
        yield HostileFile(name=f"Exif: {name}", kind="Exif, broken", data=data, expect=QUARTERS)


def _blocks() -> Iterator[tuple[str, bytes]]:
    """Blocks from which no orientation follows."""
    yield "nothing", b""
    yield "one byte", b"I"
    yield "the head alone", b"II*\0\x08\0\0\0"
    yield "an order that is none", b"XX" + tiff(6)[2:]
    yield "mixed orders", b"MM" + tiff(6)[2:]
    yield "another magic number", b"II+\0" + tiff(6)[4:]
    yield "a directory at 4,294,967,295", tiff(6, first=2**32 - 1)
    yield "a directory at the last byte", tiff(6, first=len(tiff(6)) - 1)
    yield "a directory within the head", tiff(6, first=0)
    yield "a value of 65,535", tiff(65535)
    yield "a value of 2^31 as LONG", tiff(2**31, kind=4)
    yield "65,535 entries announced, one other there", tiff(6)[:8] + struct.pack("<H", 65535) + b"\0\1" * 6
    yield "no entry", b"II*\0\x08\0\0\0\0\0" + struct.pack("<I", 8)
    yield (
        "directories in a circle",
        b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<I", 8),
    )
    yield (
        "5,000 entries of others",
        b"II*\0\x08\0\0\0" + struct.pack("<H", 5000) + struct.pack("<HHII", 0x9286, 7, 2**31, 2**31) * 5000,
    )
    yield "an entry cut off", tiff(6)[:16]
    yield "noise", bytes(range(256)) * 100
