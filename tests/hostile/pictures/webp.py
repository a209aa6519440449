"""WebP and PPM files of every sort."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageOps

from tests.hostile.pictures.files import (
    CUT,
    DAMAGED,
    DRAWN,
    LARGE,
    PORTRAIT,
    QUARTERS,
    Answered,
    Files,
    HostileFile,
    Refused,
    of_kind,
    portrait,
    quarters,
    save,
)

RARE = "can't be decoded"


def webps_and_ppms() -> Iterator[HostileFile]:
    """All of them."""
    for form, kind, files in (
        ("WebP", "WebP, kinds and sizes", _webp_kinds()),
        ("WebP", "WebP, chunks", _webp_chunks()),
        ("PPM", "PPM", _ppms()),
    ):
        yield from of_kind(kind, files, form=form)


def part(kind: bytes, body: bytes) -> bytes:
    """A chunk of a RIFF file."""
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff(*parts: bytes) -> bytes:
    """A WebP of these chunks."""
    body = b"WEBP" + b"".join(parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended(width: int, height: int, *, flags: int = 0) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return part(b"VP8X", bytes([flags, 0, 0, 0]) + size)


def _webp_kinds() -> Files:
    photo, inverted = portrait(), ImageOps.invert(portrait())
    opaque = Image.merge("RGBA", (*photo.split(), Image.new("L", photo.size, 255)))
    clear = Image.merge("RGBA", (*photo.split(), Image.new("L", photo.size, 0)))
    half = Image.merge("RGBA", (*photo.split(), Image.new("L", photo.size, 250)))
    yield "lossy", save(photo, "WEBP", quality=85), PORTRAIT
    yield (
        "lossy, quality 0",
        save(photo, "WEBP", quality=0),
        Answered(size=photo.size, shows="portrait", tolerance=20),
    )
    yield "lossless", save(photo, "WEBP", lossless=True), PORTRAIT
    yield "lossy, opaque alpha", save(opaque, "WEBP", quality=85), PORTRAIT
    yield "lossy, nearly opaque", save(half, "WEBP", quality=85), PORTRAIT
    yield "lossless, clear", save(clear, "WEBP", lossless=True), Answered(size=photo.size)
    yield "animated", save(photo, "WEBP", save_all=True, append_images=[inverted] * 3, quality=85), PORTRAIT
    small = [quarters().rotate(number) for number in range(120)]
    yield (
        "animated, 120 frames",
        save(quarters(), "WEBP", save_all=True, append_images=small),
        Answered(size=DRAWN),
    )
    yield "with a colour profile of junk", save(photo, "WEBP", icc_profile=b"junk" * 99), PORTRAIT
    yield (
        "with XMP that names a file",
        save(
            quarters(),
            "WEBP",
            lossless=True,
            xmp=b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>&a;',
        ),
        QUARTERS,
    )
    yield "1 x 1", save(Image.new("RGB", (1, 1)), "WEBP"), Answered(size=(1, 1))
    yield "16,383 x 1", save(Image.new("RGB", (16383, 1)), "WEBP"), Answered(size=(16383, 1))
    yield "1 x 16,383", save(Image.new("RGB", (1, 16383)), "WEBP", lossless=True), Answered(size=(1, 16383))
    plain = save(quarters(), "WEBP", quality=85)
    body = plain[20:]
    none = body[:6] + struct.pack("<HH", 0, 5) + body[10:]
    yield "0 x 5", riff(part(b"VP8 ", none)), Refused(words="0 x 5")
    huge = body[:6] + struct.pack("<HH", 16383, 16383) + body[10:]
    yield "16,383 x 16,383, lossy, in 200 bytes", riff(part(b"VP8 ", huge)), LARGE
    fits = body[:6] + struct.pack("<HH", 7000, 7000) + body[10:]
    yield "7,000 x 7,000, lossy, in 200 bytes", riff(part(b"VP8 ", fits)), Refused(words=RARE)
    packed = (16382 | 16382 << 14).to_bytes(4, "little")
    yield "16,383 x 16,383, lossless, in 20 bytes", riff(part(b"VP8L", b"\x2f" + packed + bytes(15))), LARGE
    fits_too = (6999 | 6999 << 14).to_bytes(4, "little")
    yield (
        "7,000 x 7,000, lossless, of zeros",
        riff(part(b"VP8L", b"\x2f" + fits_too + bytes(400))),
        Answered(size=(7000, 7000), may_refuse=RARE),
    )
    yield "a canvas of 2^24 x 2^24", riff(_extended(2**24, 2**24), part(b"VP8 ", body)), LARGE
    yield (
        "a canvas of 6,000 x 6,000 around a small frame",
        riff(_extended(6000, 6000), part(b"VP8 ", body)),
        Refused(words=RARE),
    )


def _webp_chunks() -> Files:
    plain = save(quarters(), "WEBP", lossless=True)
    body = plain[20:]
    frame = part(b"VP8L", body[: int.from_bytes(plain[16:20], "little")])
    size, moving = _extended(*DRAWN), _extended(*DRAWN, flags=2)
    yield "bytes behind the end", plain + b"more" * 50, QUARTERS
    yield "a length beyond the end", plain[:4] + struct.pack("<I", 2**32 - 1) + plain[8:], CUT
    yield "a length of 0", plain[:4] + struct.pack("<I", 0) + plain[8:], DAMAGED
    yield "a length of 12", plain[:4] + struct.pack("<I", 12) + plain[8:], DAMAGED
    yield "the head alone", plain[:12], Refused(words="is damaged|cut short")
    yield "no chunk", riff(), DAMAGED
    yield "an empty picture", riff(part(b"VP8L", b"")), DAMAGED
    yield "a size and no picture", riff(size), DAMAGED
    yield "a chunk over the end", riff(b"VP8L" + struct.pack("<I", 99999) + body), DAMAGED
    yield "a chunk of 2^32 - 1 bytes", riff(b"VP8L" + struct.pack("<I", 2**32 - 1) + body), DAMAGED
    yield "an unknown chunk first", riff(part(b"JUNK", b"?"), frame), DAMAGED
    yield "a size and the picture", riff(size, frame), QUARTERS
    yield "a size of 0 bytes", riff(part(b"VP8X", b""), frame), DAMAGED
    yield (
        "the picture twice",
        riff(size, frame, frame),
        Answered(size=DRAWN, shows="quarters", may_refuse=RARE),
    )
    yield "a size of another picture", riff(_extended(61, 44), frame), Refused(words=RARE)
    yield "unknown chunks between", riff(size, part(b"JUNK", bytes(77)), frame), QUARTERS
    yield "900 unknown chunks", riff(size, part(b"JUNK", b"") * 900, frame), QUARTERS
    yield "100,000 unknown chunks", riff(size, part(b"JUNK", b"") * 100_000, frame), Refused(words="chunks")
    yield (
        "alpha of noise",
        riff(_extended(*DRAWN, flags=16), part(b"ALPH", bytes(range(200))), frame),
        Answered(size=DRAWN, may_refuse=RARE),
    )
    held = bytes(6) + (DRAWN[0] - 1).to_bytes(3, "little") + (DRAWN[1] - 1).to_bytes(3, "little") + bytes(4)
    still = part(b"ANMF", held + frame)
    yield "an animation of one frame", riff(moving, part(b"ANIM", bytes(6)), still), QUARTERS
    yield (
        "an animation without its head",
        riff(moving, still),
        Answered(size=DRAWN, shows="quarters", may_refuse=RARE),
    )
    yield "an animation without a frame", riff(moving, part(b"ANIM", bytes(6))), DAMAGED
    far = part(b"ANMF", b"\xff" * 6 + held[6:] + frame)
    yield "a frame outside of its canvas", riff(moving, part(b"ANIM", bytes(6)), far), Refused(words=RARE)
    yield "an empty frame", riff(moving, part(b"ANIM", bytes(6)), part(b"ANMF", b"")), Refused(words=RARE)
    lossy = save(quarters(), "WEBP", quality=85)
    yield (
        "a frame that builds on another",
        lossy[:20] + bytes([lossy[20] | 1]) + lossy[21:],
        Refused(words=f"{RARE}|is damaged"),
    )
    yield "another start code", lossy[:23] + b"\x9d\x01\x2b" + lossy[26:], DAMAGED
    yield "a first partition over the end", lossy[:21] + b"\xff\xff" + lossy[23:], Refused(words=RARE)
    yield "a lossless signature that is none", plain[:20] + b"\x2e" + plain[21:], DAMAGED
    yield (
        "noise for a lossless picture",
        riff(part(b"VP8L", body[:5] + bytes(range(250)))),
        Answered(size=DRAWN, may_refuse=RARE),
    )
    yield "a WAVE file", b"RIFF" + plain[4:8] + b"WAVE" + plain[12:], Refused(words="not a picture")


def _ppms() -> Files:
    plain = save(quarters(), "PPM")
    pixels = np.asarray(quarters()).tobytes()
    yield "as it should be", plain, QUARTERS
    yield "the portrait", save(portrait(), "PPM"), PORTRAIT
    yield "with comments", b"P6#a\n# b\n60 #c\n 44\r\n255#d\n\n" + pixels, QUARTERS
    yield "bytes behind the end", plain + b"P6" * 50, QUARTERS
    for name, head in (
        ("999,999,999 x 999,999,999", b"P6 999999999 999999999 255\n"),
        ("60 x 45, a row too few", b"P6 60 45 255\n"),
        ("50,000 x 50,000", b"P6 50000 50000 255\n"),
    ):
        yield name, head + pixels, Refused(words="cut short")
    for name, head in (
        ("99,999,999,999 x 1", b"P6 99999999999 1 255\n"),
        ("a negative side", b"P6 -60 44 255\n"),
        ("a side in hexadecimals", b"P6 0x3c 44 255\n"),
        ("a side as a fraction", b"P6 60.0 44 255\n"),
        ("no largest value", b"P6 60 44\n"),
        ("the head alone", b"P6"),
        ("a comment without an end", b"P6 #" + b"x" * 5000),
        ("4,000 spaces", b"P6" + b" " * 4094),
    ):
        yield name, head + pixels, DAMAGED
    yield "16 bits", b"P6 60 44 65535\n" + pixels * 2, Refused(words="65535")
    yield "a largest value of 0", b"P6 60 44 0\n" + pixels, Refused(words="largest value is 0")
    yield "no row", b"P6 60 0 255\n", Refused(words="60 x 0")
    yield "no column", b"P6 0 44 255\n", Refused(words="0 x 44")
    yield "50,000,001 pixels", b"P6 50000001 1 255\n" + bytes(3 * 50_000_001), LARGE
