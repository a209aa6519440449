"""Files cut off at every sort of place, and files with bits turned."""

import random
import struct
import zlib
from collections.abc import Iterator

import numpy as np

from tests.hostile.pictures.files import (
    DRAWN,
    UNDECODABLE,
    Answered,
    HostileFile,
    Refused,
    quarters,
    save,
)
from tests.hostile.pictures.jpeg import SOI, segment
from tests.hostile.pictures.png import interlaced

_FLIPS = 12  # of each file
SOME = "is damaged|cut short|can't be decoded|not a picture|more than|which is not accepted|x 0|says that"


def damaged_files() -> Iterator[HostileFile]:
    """All of them; the same ones at every run."""
    whole = _whole()
    for form, data in whole.items():
        for place, length in _places(data):
            yield HostileFile(
                name=f"{form} cut off {place}",
                kind="cut off",
                data=data[:length],
                expect=Refused(words="cut short|is damaged|not a picture"),
            )
    dice = random.Random(2026)
    for form, data in whole.items():
        checked = "PNG" in form
        for number in range(_FLIPS):
            at = dice.randrange(8, len(data) - 2)
            changed = data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]
            yield HostileFile(
                name=f"{form} with a bit turned, {number}",
                kind="a bit turned",
                data=changed,
                expect=Refused(words="is damaged|cut short")
                if checked
                else Answered(size=_claimed(form, changed), may_refuse=SOME),
            )
    yield from _chosen()


def _whole() -> dict[str, bytes]:
    drawn = quarters()
    return {
        "JPEG": save(drawn, "JPEG", quality=95),
        "progressive JPEG": save(drawn, "JPEG", quality=95, progressive=True),
        "JPEG with restarts": save(drawn, "JPEG", restart_marker_rows=1),
        "PNG": save(drawn, "PNG"),
        "interlaced PNG": interlaced(np.asarray(drawn)),
        "WebP": save(drawn, "WEBP", quality=90),
        "lossless WebP": save(drawn, "WEBP", lossless=True),
        "animated WebP": save(drawn, "WEBP", save_all=True, append_images=[drawn.rotate(90)]),
        "PPM": save(drawn, "PPM"),
    }


def _places(data: bytes) -> Iterator[tuple[str, int]]:
    yield "after 4 bytes", 4
    yield "after 12 bytes", 12
    yield "after 27 bytes", 27
    yield "in the middle", len(data) // 2
    yield "near the end", len(data) - len(data) // 10
    yield "before the last 4 bytes", len(data) - 4
    yield "before the last byte", len(data) - 1


def _claimed(form: str, data: bytes) -> tuple[int, int]:
    """The size that a damaged file claims, where it can still be found; damage there changes it."""
    if "JPEG" in form:
        for marker in (b"\xff\xc0", b"\xff\xc2", b"\xff\xc1"):
            at = data.find(marker)
            if at > 0:
                height, width = struct.unpack(">HH", data[at + 5 : at + 9])
                return width, height
    if form == "WebP":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    if form == "lossless WebP":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return DRAWN


def _chosen() -> Iterator[HostileFile]:
    """Single bits of which it is known what they do."""
    drawn = quarters()
    jpeg = save(drawn, "JPEG", quality=95, subsampling=0, comment=b"a comment of the picture")
    comment, frame, scan = (jpeg.index(mark) for mark in (b"a comment", b"\xff\xc0", b"\xff\xda"))
    shown = Answered(size=DRAWN, shows="quarters")
    yield _turned("JPEG, in a comment", jpeg, comment + 3, 4, shown)
    yield _turned("JPEG, in the number of bits", jpeg, frame + 4, 2, Refused(words="12 bits"))
    yield _turned("JPEG, in the width", jpeg, frame + 8, 6, Answered(size=(DRAWN[0] + 64, DRAWN[1])))
    yield _turned("JPEG, in the height", jpeg, frame + 6, 4, Answered(size=(DRAWN[0], DRAWN[1] + 16)))
    yield _turned(
        "JPEG, in the number of components", jpeg, frame + 9, 2, Refused(words="components|damaged")
    )
    yield _turned("JPEG, in the first marker", jpeg, 0, 3, Refused(words="not a picture"))
    yield _turned("JPEG, in the last marker", jpeg, len(jpeg) - 2, 0, Refused(words="cut short"))
    yield _turned("JPEG, in the scan's length", jpeg, scan + 2, 7, Refused(words="cut short"))
    png = save(drawn, "PNG")
    yield _turned("PNG, in the width", png, 19, 1, Refused(words="checksum"))
    yield _turned("PNG, in a chunk's name", png, 38, 5, Refused(words="checksum|is damaged"))
    at, mended = 18, bytearray(png)
    mended[at] ^= 1
    mended[29:33] = struct.pack(">I", zlib.crc32(mended[12:29]))
    yield HostileFile(
        name="PNG, in the width, its checksum put right",
        kind="a bit turned",
        data=bytes(mended),
        expect=UNDECODABLE,
    )
    yield _turned("WebP, in the length", save(drawn, "WEBP"), 7, 6, Refused(words="cut short"))
    yield _turned("PPM, in the largest value", save(drawn, "PPM"), 11, 0, Refused(words="largest value"))
    yield HostileFile(
        name="JPEG with every byte of its scan turned",
        kind="a bit turned",
        data=jpeg[: scan + 14]
        + bytes(byte ^ 0x55 for byte in jpeg[scan + 14 : -2]).replace(b"\xff", b"\xfe")
        + jpeg[-2:],
        expect=Answered(size=DRAWN),
    )
    yield HostileFile(
        name="JPEG, its scan in a comment",
        kind="a bit turned",
        data=SOI + segment(0xFE, jpeg[scan:-2]) + jpeg[2:],
        expect=shown,
    )


def _turned(name: str, data: bytes, at: int, bit: int, expect: Answered | Refused) -> HostileFile:
    changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
    return HostileFile(name=f"{name}: a bit turned", kind="a bit turned", data=changed, expect=expect)
