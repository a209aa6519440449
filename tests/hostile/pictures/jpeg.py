"""JPEG files of every sort: kinds, markers out of order, sizes that are claimed, endless scans."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from deploy.benchmark.load.picture_bombs import progressive
from tests.hostile.pictures.arithmetic_jpeg import arithmetic_jpeg, empty_progressive
from tests.hostile.pictures.files import (
    CUT,
    DAMAGED,
    DRAWN,
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

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
DAMAGE = "is damaged|can't be decoded|cut short"


def segment(marker: int, body: bytes) -> bytes:
    """A marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_frame(data: bytes, *, width: int | None = None, height: int | None = None) -> bytes:
    """A JPEG that claims another size."""
    at = _frame_at(data)
    changed = bytearray(data)
    if height is not None:
        changed[at + 5 : at + 7] = struct.pack(">H", height)
    if width is not None:
        changed[at + 7 : at + 9] = struct.pack(">H", width)
    return bytes(changed)


def _frame_at(data: bytes) -> int:
    return min(at for at in map(data.find, (b"\xff\xc0", b"\xff\xc1", b"\xff\xc2", b"\xff\xc9")) if at > 0)


def _scan_at(data: bytes) -> int:
    return data.index(b"\xff\xda")


def _with_byte(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


def jpegs() -> Iterator[HostileFile]:
    """All of them."""
    for kind, files in (
        ("JPEG, kinds", _kinds()),
        ("JPEG, markers", _markers()),
        ("JPEG, tables and scans", _tables()),
        ("JPEG, sizes", _sizes()),
        ("JPEG, bombs", _bombs()),
    ):
        yield from of_kind(kind, files, form="JPEG")


def _kinds() -> Files:
    photo, grey = portrait(), portrait().convert("L")
    for quality in (1, 30, 100):
        shown = PORTRAIT if quality > 1 else Answered(size=photo.size)
        yield f"quality {quality}", save(photo, "JPEG", quality=quality), shown
    for subsampling in (0, 1, 2):
        yield f"subsampling {subsampling}", save(photo, "JPEG", subsampling=subsampling), PORTRAIT
    yield "progressive", save(photo, "JPEG", progressive=True), PORTRAIT
    yield (
        "progressive, every block restarts",
        save(photo, "JPEG", progressive=True, restart_marker_blocks=1),
        PORTRAIT,
    )
    # Only the colours are lost.
    yield "grey", save(grey, "JPEG"), Answered(size=photo.size, shows="portrait", tolerance=25)
    cmyk = save(photo.convert("CMYK"), "JPEG", quality=92)
    yield "CMYK", cmyk, PORTRAIT
    at = cmyk.index(b"Adobe")
    # The same numbers mean other colours then, so no face need be there.
    yield "YCCK by its flag alone", _with_byte(cmyk, at + 11, 2), Answered(size=photo.size)
    yield (
        "CMYK that Adobe's segment does not name",
        cmyk.replace(b"Adobe", b"Adoba", 1),
        Answered(size=photo.size),
    )
    plain = save(photo, "JPEG", quality=92)
    adobe = b"Adobe\0\x64\0\0\0\0\0"
    yield (
        "RGB by Adobe's flag, of YCbCr numbers",
        SOI + segment(0xEE, adobe) + plain[20:],
        Answered(size=photo.size),
    )
    yield "Adobe's segment cut off", SOI + segment(0xEE, b"Adobe") + plain[2:], PORTRAIT
    stairs = Image.merge("RGB", tuple(band.point(lambda v: v // 32 * 32) for band in photo.split()))
    yield "few colours", save(stairs, "JPEG"), Answered(size=photo.size, shows="portrait", tolerance=25)
    frame = _frame_at(plain)
    yield "12 bits", _with_byte(plain, frame + 4, 12), Refused(words="12 bits")
    yield "16 bits", _with_byte(plain, frame + 4, 16), Refused(words="16 bits")
    yield "no bits", _with_byte(plain, frame + 4, 0), Refused(words=r"\(0 bits")
    for components in (0, 2, 5, 255):
        yield (
            f"{components} components",
            _with_byte(plain, frame + 9, components),
            Refused(words="components|is damaged"),
        )
    names = {0xC3: "lossless", 0xC5: "differential", 0xC6: "differential progressive", 0xC7: "differential "
             "lossless", 0xC8: "reserved", 0xCB: "lossless, arithmetic", 0xCF: "JPEG-LS of old",
             0xF7: "JPEG-LS"}  # fmt: skip
    for marker, name in names.items():
        yield (
            f"{name} (SOF {marker:02X})",
            _with_byte(plain, frame + 1, marker),
            Refused(words=f"type {marker:02X}|is damaged"),
        )
    yield (
        "baseline data announced as progressive",
        _with_byte(plain, frame + 1, 0xC2),
        Answered(size=photo.size, may_refuse=DAMAGE),
    )
    yield (
        "Huffman data announced as arithmetic",
        _with_byte(plain, frame + 1, 0xC9),
        Answered(size=photo.size, may_refuse=DAMAGE),
    )
    coded = arithmetic_jpeg(np.asarray(grey))
    yield "arithmetic coding", coded, Answered(size=photo.size, shows="portrait", tolerance=25)
    yield "arithmetic coding cut off and closed", coded[: len(coded) // 2] + EOI, Answered(size=photo.size)
    yield (
        "arithmetic, progressive, an empty scan",
        empty_progressive(width=64, height=48),
        Answered(size=(64, 48)),
    )


def _markers() -> Files:
    plain = save(quarters(), "JPEG", quality=95, subsampling=0)
    scan = _scan_at(plain)
    yield "two beginnings", SOI + plain, DAMAGED
    yield "a beginning within the scan", plain[: scan + 40] + plain, DAMAGED
    yield "the end before the frame", SOI + EOI, DAMAGED
    yield "the end before the scan", plain[:scan] + EOI, DAMAGED
    yield "twice the end", plain + EOI, QUARTERS
    yield "no end", plain[:-2], CUT
    yield "no end, and text", plain[:-2] + b"the rest is text" * 9, CUT
    for marker in (0x01, 0x02, 0xBF, 0xD0, 0xD7):
        yield f"marker {marker:02X} before the frame", SOI + bytes([0xFF, marker]) + plain[2:], DAMAGED
    yield "marker 00 before the frame", SOI + b"\xff\0" + plain[2:], DAMAGED
    for marker in (0xDE, 0xDF, 0xF0, 0xFD):
        yield (
            f"an unknown segment {marker:02X}",
            SOI + segment(marker, b"?" * 40) + plain[2:],
            Answered(size=DRAWN, shows="quarters", may_refuse=DAMAGE),
        )
    yield "5,000 fill bytes", SOI + b"\xff" * 5000 + plain[2:], QUARTERS
    yield "noise between segments", SOI + b"noise" + plain[2:], DAMAGED
    yield "a segment of length 0", SOI + b"\xff\xe5\0\0" + plain[2:], DAMAGED
    yield "a segment of length 1", SOI + b"\xff\xe5\0\1" + plain[2:], DAMAGED
    yield "a segment of length 2", SOI + b"\xff\xe5\0\2" + plain[2:], QUARTERS
    yield "a segment over the end", SOI + b"\xff\xe5\xff\xff" + plain[2:], CUT
    yield "1,900 segments", SOI + segment(0xE7, b"") * 1900 + plain[2:], QUARTERS
    yield "100,000 segments", SOI + segment(0xE7, b"") * 100_000 + plain[2:], Refused(words="segments")
    yield "60 comments of 65,533 bytes", SOI + segment(0xFE, b"c" * 65533) * 60 + plain[2:], QUARTERS
    yield "a comment that ends the file", SOI + segment(0xFE, EOI + plain) + plain[2:], QUARTERS
    yield "a comment of terminal codes", SOI + segment(0xFE, b"\x1b[2J\0%s%n\r\n") + plain[2:], QUARTERS
    restarting = save(quarters(), "JPEG", quality=95, subsampling=0, restart_marker_blocks=1)
    yield "a restart after each block", restarting, QUARTERS
    first = restarting.index(b"\xff\xd0", _scan_at(restarting))
    yield "a restart out of order", _with_byte(restarting, first + 1, 0xD5), DAMAGED
    yield "a restart too many", restarting[:first] + b"\xff\xd0" + restarting[first:], DAMAGED
    yield "a restart missing", restarting[:first] + restarting[first + 2 :], DAMAGED
    yield "restarts that nobody announced", restarting.replace(b"\xff\xdd\0\4\0\1", b""), DAMAGED
    announced = plain[:scan] + segment(0xDD, b"\0\1") + plain[scan:]
    yield "restarts announced that never come", announced, Answered(size=DRAWN, may_refuse=DAMAGE)
    yield (
        "a restart interval cut off",
        plain[:scan] + segment(0xDD, b"\1") + plain[scan:],
        Answered(size=DRAWN, may_refuse=DAMAGE),
    )
    yield "the height comes later (DNL)", _later_height(plain), Refused(words=r"60 x 0|is damaged")
    yield "lines announced that are there anyway (DNL)", plain[:-2] + segment(0xDC, b"\0\x2c") + EOI, QUARTERS


def _later_height(plain: bytes) -> bytes:
    return with_frame(plain, height=0)[:-2] + segment(0xDC, struct.pack(">H", DRAWN[1])) + EOI


def _tables() -> Files:
    plain = save(quarters(), "JPEG", quality=95, subsampling=0)
    scan, frame = _scan_at(plain), _frame_at(plain)
    loose = Answered(size=DRAWN, may_refuse=DAMAGE)
    for marker, name in ((0xDB, "quantisation"), (0xC4, "Huffman")):
        kept = _without(plain, marker)
        yield f"no {name} tables", kept, Refused(words=DAMAGE) if marker == 0xDB else loose
        yield f"a {name} table cut off", SOI + segment(marker, b"\0\1\2") + plain[2:], loose
        yield (
            f"an empty {name} segment",
            SOI + segment(marker, b"") + plain[2:],
            Answered(size=DRAWN, shows="quarters", may_refuse=DAMAGE),
        )
        yield f"a {name} table of number 15", SOI + segment(marker, b"\x0f" + bytes(64)) + plain[2:], loose
    yield (
        "Huffman codes that overflow",
        SOI + segment(0xC4, b"\0" + b"\xff" * 16 + bytes(300)) + plain[2:],
        loose,
    )
    yield (
        "a quantisation table of zeros",
        SOI
        + plain[2:scan].replace(
            plain[plain.index(b"\xff\xdb") : plain.index(b"\xff\xdb") + 69], segment(0xDB, bytes(65))
        )
        + plain[scan:],
        loose,
    )
    yield (
        "two frames",
        plain[:scan] + plain[frame : frame + 19] + plain[scan:],
        Answered(size=DRAWN, may_refuse=DAMAGE),
    )
    other = with_frame(plain, width=600)[frame : frame + 19]
    yield (
        "a second frame of another size",
        plain[:scan] + other + plain[scan:],
        Answered(size=DRAWN, may_refuse=DAMAGE),
    )
    yield "a frame behind the scan", plain[:-2] + plain[frame : frame + 19] + EOI, DAMAGED
    yield "a scan before the frame", SOI + plain[scan:], DAMAGED
    yield "a scan of no component", plain[:scan] + segment(0xDA, b"\0\0\x3f\0") + plain[scan:], DAMAGED
    yield "a scan of a component that is not there", _with_byte(plain, scan + 5, 77), DAMAGED
    yield (
        "a scan of the same component three times",
        plain[: scan + 5] + b"\1\0\1\0\1\0" + plain[scan + 11 :],
        loose,
    )
    one = segment(0xDA, b"\1\1\0\0\x3f\0")
    yield "a scan of one component of three", plain[:scan] + one + plain[scan + 14 :], loose
    yield "an empty scan", plain[: scan + 14] + EOI, Answered(size=DRAWN)
    yield "a scan of noise", plain[: scan + 14] + bytes(range(1, 240)) * 20 + EOI, Answered(size=DRAWN)
    yield "a scan much too long", plain[:-2] + plain[scan + 14 : -2] * 50 + EOI, Answered(size=DRAWN)
    for factor in (0x00, 0x05, 0x50, 0xFF):
        yield f"sampling factors {factor:02X}", _with_byte(plain, frame + 11, factor), DAMAGED
    for factor in (0x14, 0x31, 0x33, 0x44):
        yield f"sampling factors {factor:02X} of other data", _with_byte(plain, frame + 11, factor), loose
    yield (
        "components with the same number",
        _with_byte(plain, frame + 13, 1),
        Answered(size=DRAWN, may_refuse=DAMAGE),
    )
    many = save(quarters(), "JPEG", progressive=True)
    last = many.rindex(b"\xff\xda")
    yield "progressive, a scan twice", many[:-2] + many[last:], Answered(size=DRAWN)
    yield "progressive, the last scan missing", many[:last] + EOI, Answered(size=DRAWN, shows="quarters")
    first = many.index(b"\xff\xda")
    yield (
        "progressive, the first scan alone",
        many[: many.index(b"\xff\xc4", first + 2)] + EOI,
        Answered(size=DRAWN, may_refuse=DAMAGE),
    )
    yield "progressive, bits beyond any (Al 15)", _with_byte(many, first + 13, 0x0F), loose


def _without(data: bytes, marker: int) -> bytes:
    """A JPEG without its segments of one sort before the scan."""
    at, kept = 2, [data[:2]]
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != marker:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _sizes() -> Files:
    plain = save(quarters(), "JPEG", quality=90)
    large = "more than the 50,000,000 accepted"
    yield "1 x 1", save(Image.new("RGB", (1, 1), (9, 9, 9)), "JPEG"), Answered(size=(1, 1))
    yield "1 x 3,000", save(Image.new("RGB", (1, 3000)), "JPEG"), Answered(size=(1, 3000))
    yield "65,500 x 1", save(Image.new("L", (65500, 1), 99), "JPEG"), Answered(size=(65500, 1))
    yield "3 x 65,500", save(Image.new("L", (3, 65500), 99), "JPEG"), Answered(size=(3, 65500))
    yield "65,535 x 1 claimed", with_frame(plain, width=65535, height=1), UNDECODABLE
    yield "no height", with_frame(plain, height=0), Refused(words="60 x 0")
    yield "no width", with_frame(plain, width=0), Refused(words="0 x 44")
    yield "65,535 x 65,535 claimed", with_frame(plain, width=65535, height=65535), Refused(words=large)
    yield "10,000 x 5,001 claimed", with_frame(plain, width=10000, height=5001), Refused(words=large)
    yield "600 x 440 claimed", with_frame(plain, width=600, height=440), Answered(size=(600, 440))
    yield "6 x 4 claimed", with_frame(plain, width=6, height=4), Answered(size=(6, 4))


def _bombs() -> Files:
    yield (
        "49 megapixels in 100 scans",
        progressive(width=7000, height=7000, scans=100),
        Refused(words="goes over each of them"),
    )
    small = progressive(width=256, height=256, scans=90)
    yield "90 scans of a small picture", small, Answered(size=(256, 256))
    at = _scan_at(small)
    last = small.rindex(b"\xff\xda", at)
    yield "900 scans of a small picture", small[:-2] + small[last:-2] * 900 + EOI, Refused(words="100 scans")
    yield (
        "20,000 scans of a pixel",
        progressive(width=1, height=1, scans=20_000),
        Refused(words="100 scans|segments"),
    )
    grey = save(Image.new("L", (7000, 7000), 128), "JPEG", quality=10)
    yield "49 megapixels of one grey", grey, Answered(size=(7000, 7000))
    empty = empty_progressive(width=7000, height=7000)
    yield "49 megapixels, arithmetic, in an empty scan", empty, Answered(size=(7000, 7000))
    scan = empty[_scan_at(empty) : -2]
    yield "the same with 90 scans", empty[:-2] + scan * 90 + EOI, Refused(words="goes over each of them")
