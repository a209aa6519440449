"""Names the format of a file that is not accepted."""

import re

_SIGNATURES = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"II+\0", "a TIFF"),
    (b"MM\0+", "a TIFF"),
    (b"%PDF", "a PDF document"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1a\x45\xdf\xa3", "a video"),
)
_BRANDS = {
    b"avif": "an AVIF",
    b"avis": "an AVIF",
    b"heic": "a HEIC",
    b"heix": "a HEIC",
    b"hevc": "a HEIC",
    b"heim": "a HEIC",
    b"heis": "a HEIC",
    b"mif1": "a HEIF",
    b"msf1": "a HEIF",
}


def format_name(data: bytes) -> str | None:
    """What a file seems to be, with its article: "a GIF"; None where nothing is recognised."""
    name = next((name for signature, name in _SIGNATURES if data.startswith(signature)), None)
    if data[4:8] == b"ftyp":
        name = _BRANDS.get(data[8:12], "a video")
    text = data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml")):
        name = "an SVG or XML text"
    elif text.startswith((b"<!doctype", b"<html", b"<head", b"<body")):
        name = "an HTML text, perhaps the error page of a download"
    elif re.match(rb"p[1-57f]\s", text):
        name = "a Netpbm picture other than P6"
    return name
