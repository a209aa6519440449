"""Files that are no picture, pictures of other formats, and files that are two things at once."""

import gzip
import io
import random
import time
import zipfile
from collections.abc import Iterator

from PIL import Image, ImageOps

from tests.hostile.pictures.files import (
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
from tests.hostile.pictures.jpeg import SOI, segment

_EPOCH = time.gmtime(0)  # of PDFs, that a file is the same one at every run
UNKNOWN = Refused(words="not a picture that is known")


def other_files() -> Iterator[HostileFile]:
    """All of them."""
    for kind, files in (
        ("other formats", _formats()),
        ("no pictures", _nothings()),
        ("polyglots", _polyglots()),
        ("profiles and texts", _attached()),
    ):
        yield from of_kind(kind, files)


def _formats() -> Files:
    photo, drawn = portrait(), quarters()
    for kind, word in (("GIF", "a GIF"), ("TIFF", "a TIFF"), ("BMP", "a BMP"), ("AVIF", "an AVIF"),
                       ("JPEG2000", "a JPEG 2000"), ("PDF", "a PDF"), ("ICO", "an icon")):  # fmt: skip
        dates = {"creationDate": _EPOCH, "modDate": _EPOCH} if kind == "PDF" else {}
        yield kind, save(photo, kind, **dates), Refused(words=word)
    frames = [ImageOps.invert(drawn)] * 20
    yield "GIF, animated", save(drawn, "GIF", save_all=True, append_images=frames), Refused(words="a GIF")
    yield "GIF of 65,535 x 65,535", b"GIF89a" + b"\xff" * 4 + save(drawn, "GIF")[10:], Refused(words="a GIF")
    yield "TIFF, big endian", b"MM\0*\0\0\0\x08" + bytes(50), Refused(words="a TIFF")
    yield "BigTIFF", b"II+\0\x08\0\0\0" + bytes(50), Refused(words="a TIFF")
    yield (
        "TIFF that leads to itself",
        b"II*\0\x08\0\0\0" + b"\1\0" + bytes(12) + b"\x08\0\0\0",
        Refused(words="a TIFF"),
    )
    brands = ((b"heic", "HEIC"), (b"heix", "HEIC"), (b"mif1", "HEIF"), (b"avis", "AVIF"), (b"isom", "video"))
    for brand, word in brands:
        yield f"ISO media, {brand.decode()}", b"\0\0\0\x18ftyp" + brand + bytes(300), Refused(words=word)
    yield "JPEG XL", b"\xff\x0a" + bytes(99), Refused(words="JPEG XL")
    yield "JPEG XL in a box", b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99), Refused(words="JPEG XL")
    yield "Photoshop", b"8BPS\0\1" + bytes(99), Refused(words="Photoshop")
    yield "Matroska", b"\x1a\x45\xdf\xa3" + bytes(99), Refused(words="a video")
    for number in (1, 2, 3, 4, 5):
        yield f"Netpbm P{number}", f"P{number}\n2 2\n255\n".encode() + bytes(12), Refused(words="Netpbm")
    yield (
        "PAM",
        b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nENDHDR\n" + bytes(12),
        Refused(words="not a picture|Netpbm"),
    )
    yield "PFM", b"PF\n2 2\n-1.0\n" + bytes(48), Refused(words="Netpbm")
    yield "OpenEXR", b"\x76\x2f\x31\x01\2\0\0\0" + bytes(99), UNKNOWN
    yield "Radiance", b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 2\n" + bytes(16), UNKNOWN
    yield "Sun raster", b"\x59\xa6\x6a\x95" + bytes(99), UNKNOWN
    yield "a JPEG-LS", b"\xff\xd8\xff\xf7\0\x0b\x08\0\x02\0\x02\1\1\x11\0", Refused(words="damaged|cut short")
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "SVG", svg, Refused(words="an SVG")
    yield "SVG behind a mark and spaces", b"\xef\xbb\xbf \n" + svg, Refused(words="an SVG")
    laughs = b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "haha">' + b"".join(
        b'<!ENTITY %c "%s">' % (letter + 1, b"&%c;" % letter * 10) for letter in range(97, 107)
    )
    yield "XML of a billion laughs", laughs + b"]><l>&k;</l>", Refused(words="an SVG or XML")


def _nothings() -> Files:
    dice = random.Random(14)
    yield "no byte", b"", Refused(words="empty")
    for byte in (b"\0", b"\xff", b"P", b"R", b"\x89", b"\n"):
        yield f"one byte {byte.hex()}", byte, Refused(words="1 bytes sent are not|is damaged|cut short")
    yield "two bytes of a JPEG", SOI, Refused(words="cut short")
    yield "three bytes of a JPEG", SOI + b"\xff", Refused(words="cut short")
    yield "text", b"just some text", UNKNOWN
    yield "text in UTF-16", "photo".encode("utf-16"), UNKNOWN
    yield "JSON", b'{"image": {"b64": "/9j/4AAQ"}}', UNKNOWN
    yield "200,000 brackets", b"[" * 200_000, UNKNOWN
    yield "a JPEG in base64", b"/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAgGBgcGBQgHBwcJCQgKDBQNDAsLDBkSEw8U", UNKNOWN
    yield "a path", b"/etc/passwd", UNKNOWN
    yield "an address", b"http://169.254.169.254/latest/meta-data/", UNKNOWN
    yield "a format string", b"%s%n%x" * 99, UNKNOWN
    yield "HTML", b"<!DOCTYPE html><html><body>404</body></html>", Refused(words="an HTML text")
    yield "a script", b"#!/bin/sh\nrm -rf /\n", UNKNOWN
    yield "an ELF", b"\x7fELF\2\1\1" + bytes(99), UNKNOWN
    yield "a pickle", b"\x80\4cos\nsystem\n(S'true'\ntR.", UNKNOWN
    yield "zeros", bytes(100_000), UNKNOWN
    yield "ones", b"\xff" * 100_000, UNKNOWN
    for size in (2, 100, 10_000, 1_000_000):
        yield (
            f"{size:,} bytes of noise",
            dice.randbytes(size),
            Refused(words="not a picture|is damaged|which"),
        )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("photo.jpg"), save(quarters(), "JPEG"))
    yield "a ZIP with a JPEG in it", packed.getvalue(), Refused(words="a ZIP")
    yield "a JPEG in gzip", gzip.compress(save(quarters(), "JPEG"), mtime=0), UNKNOWN
    yield (
        "64 MB and a byte",
        SOI + b"\xff" * (64 * 1024 * 1024 - 1),
        Refused(words="more than the 67,108,864"),
    )


def _polyglots() -> Files:
    jpeg = save(portrait(), "JPEG", quality=92)
    png = save(quarters(), "PNG")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("evil.sh"), "rm -rf /")
    html = b"<html><script>alert(1)</script></html>"
    yield "JPEG and ZIP", jpeg + packed.getvalue(), PORTRAIT
    yield "JPEG and HTML", jpeg + html, PORTRAIT
    yield "JPEG with HTML in a comment", SOI + segment(0xFE, html) + jpeg[2:], PORTRAIT
    yield "JPEG and PDF", jpeg + save(quarters(), "PDF", creationDate=_EPOCH, modDate=_EPOCH), PORTRAIT
    yield "JPEG with a PDF's beginning in a comment", SOI + segment(0xFE, b"%PDF-1.7\n") + jpeg[2:], PORTRAIT
    yield "JPEG with a script in Exif's place", SOI + segment(0xE1, b"Exif\0\0=1;/*") + jpeg[2:], PORTRAIT
    yield "JPEG and another JPEG", jpeg + save(quarters(), "JPEG"), PORTRAIT
    yield "JPEG and PNG", jpeg + png, PORTRAIT
    yield (
        "MPO of two pictures",
        save(portrait(), "MPO", save_all=True, append_images=[quarters()]),
        Answered(size=portrait().size, shows="portrait"),
    )
    yield "PNG and ZIP", png + packed.getvalue(), QUARTERS
    yield "PNG and JPEG", png + jpeg, QUARTERS
    yield "WebP and JPEG", save(quarters(), "WEBP", lossless=True) + jpeg, QUARTERS
    yield "PPM and JPEG", save(quarters(), "PPM") + jpeg, QUARTERS
    yield (
        "GIF and JavaScript",
        b"GIF89a=1;/*" + save(quarters(), "GIF")[11:] + b"*/alert(1)",
        Refused(words="a GIF"),
    )
    yield "PDF with a JPEG in it", b"%PDF-1.7\n" + jpeg, Refused(words="a PDF")
    yield "ZIP and JPEG", packed.getvalue() + jpeg, Refused(words="a ZIP")
    yield "HTML and JPEG", html + jpeg, Refused(words="an HTML")
    yield "BMP and JPEG", b"BM" + jpeg, Refused(words="a BMP")
    yield "a space and a JPEG", b" " + jpeg, UNKNOWN
    yield "a line end and a PNG", b"\n" + png, UNKNOWN
    yield "PNG through a text channel", png.replace(b"\r\n", b"\n", 1), UNKNOWN


def _attached() -> Files:
    jpeg = save(portrait(), "JPEG", quality=92)
    icc = b"ICC_PROFILE\0"
    for name, body in (
        ("of junk", b"\1\1" + b"junk" * 999),
        ("of no byte", b"\1\1"),
        ("part 9 of 3", b"\x09\3" + bytes(99)),
        ("part 0 of 0", b"\0\0" + bytes(99)),
        ("that says it has 4 GB", b"\1\1\xff\xff\xff\xff" + bytes(200)),
    ):
        yield f"a colour profile {name}", SOI + segment(0xE2, icc + body) + jpeg[2:], PORTRAIT
    parts = b"".join(segment(0xE2, icc + bytes([number, 255]) + bytes(65_000)) for number in range(1, 256))
    yield "a colour profile of 16 MB", SOI + parts + jpeg[2:], PORTRAIT
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>&a;'
    yield "XMP that names a file", SOI + segment(0xE1, xmp) + jpeg[2:], PORTRAIT
    yield (
        "Photoshop's resources of junk",
        SOI + segment(0xED, b"Photoshop 3.0\x008BIM" + b"\xff" * 999) + jpeg[2:],
        PORTRAIT,
    )
    yield (
        "JFIF with a thumbnail that is not there",
        SOI + segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\xff\xff") + jpeg[2:],
        PORTRAIT,
    )
    thumb = SOI + segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + save(Image.new("L", (8, 8)), "JPEG"))
    yield "Exif with a thumbnail", thumb + jpeg[2:], PORTRAIT
