"""What an encoded picture says of itself, read from its container before a single pixel is decoded.

The containers are walked to their end here because decoders don't tell: a file that was cut short
comes back from them grey at the bottom or not at all, and a size that no machine can hold is noticed
only when the memory is gone. Sources: ITU-T T.81 annex B (JPEG), the PNG specification (third
edition), the WebP container specification, the Netpbm manual (PPM), Exif 2.3 section 4.6 (TIFF tags).
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from runtime.errors import InvalidImage

Format = Literal["JPEG", "PNG", "WebP", "PPM"]

ACCEPTED = "send a JPEG, PNG or WebP file"

# A picture has some hundreds of segments, a huge PNG some ten thousand chunks; a file made of nothing
# else would keep a server busy. Progressive JPEGs have about ten scans, each of which fills the picture.
MAX_SEGMENTS = 100_000
MAX_SCANS = 100


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A complete encoded picture.

    width and height are pixels as stored, before `orientation` (Exif: 1 is upright, 2 to 8 mirrored or
    turned) is applied. `encoded` is what to give the decoder. `header` counts the bytes before the
    pixels (PPM only). `clear_grey` is the stored grey value that means transparent (PNG only).
    `pixel_bytes` is how many bytes a pixel takes, at most, while it is decoded: channels x depth.
    """

    format: Format
    width: int
    height: int
    orientation: int
    encoded: bytes
    header: int = 0
    pixel_bytes: int = 3
    clear_grey: int | None = None


def read_container(data: bytes) -> Picture:
    """Walks the file `data` to its end and answers what it says of itself.

    Raises InvalidImage for what is empty, another format, damaged or cut short.
    """
    if not data:
        raise InvalidImage(f"The picture is empty (0 bytes); {ACCEPTED}.")
    if data.startswith(b"\xff\xd8"):
        picture = _jpeg(data)
    elif data.startswith(_PNG_SIGNATURE):
        picture = _png(data)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        picture = _webp(data)
    elif data.startswith(b"P6"):
        picture = _ppm(data)
    else:
        raise InvalidImage(_what_it_is(data))
    if picture.width < 1 or picture.height < 1:
        raise InvalidImage(
            f"The {picture.format} says that it is {picture.width} x {picture.height} pixels; "
            "send a picture with at least one pixel."
        )
    return picture


# --- JPEG -----------------------------------------------------------------------------------------

# A marker within compressed data: not a stuffed 00, a fill byte FF or a restart marker.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_JPEG_FILL = re.compile(rb"\xff*")
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SOI, _EOI, _SOS, _DRI, _APP1 = 0xD8, 0xD9, 0xDA, 0xDD, 0xE1


def _jpeg(data: bytes) -> Picture:
    """Walks the segments up to the end marker. What follows it (some cameras append) is of no concern."""
    frame: tuple[int, int] | None = None
    orientation: int | None = None
    restarts, scans, at = False, 0, 2
    for _ in range(MAX_SEGMENTS):
        marker, at = _jpeg_marker(data, at)
        if marker == _EOI:
            break
        if marker in (0x01, _SOI) or marker < 0xC0 or (scans and marker in _JPEG_FRAMES):
            raise _damaged("JPEG", f"an unexpected marker {marker:02X} stands before byte {at}")
        length = int.from_bytes(data[at : at + 2], "big")
        if at + max(length, 2) > len(data):
            raise _cut_short("JPEG", data)
        if length < 2:
            raise _damaged("JPEG", f"the segment at byte {at} has no length")
        segment = data[at + 2 : at + length]
        at += length
        if marker in _JPEG_FRAMES and frame is None:
            frame = _jpeg_frame(segment, marker=marker)
        elif marker == _DRI:
            restarts = any(segment[:2])
        elif marker == _APP1 and segment.startswith(b"Exif\0\0") and orientation is None:
            orientation = exif_orientation(segment[6:])
        elif marker == _SOS:
            if frame is None:
                raise _damaged("JPEG", "its pixels come before its size")
            at = _jpeg_scan_end(data, at, restarts=restarts)
            scans += 1
            if scans > MAX_SCANS:
                raise _too_fragmented("JPEG", f"{MAX_SCANS} scans")
    else:
        raise _too_fragmented("JPEG", f"{MAX_SEGMENTS:,} segments")
    if frame is None or not scans:
        raise _damaged("JPEG", "it holds no pixels")
    return Picture(format="JPEG", width=frame[0], height=frame[1], orientation=orientation or 1, encoded=data)


def _jpeg_marker(data: bytes, at: int) -> tuple[int, int]:
    """The marker at a position (after any fill bytes) and the position behind it."""
    start = at
    fill = _JPEG_FILL.match(data, at)
    at = fill.end() if fill else at
    if at >= len(data):
        raise _cut_short("JPEG", data)
    if at == start:
        raise _damaged("JPEG", f"byte {at} should begin a segment and does not")
    return data[at], at + 1


def _jpeg_frame(segment: bytes, *, marker: int) -> tuple[int, int]:
    if len(segment) < 6:
        raise _damaged("JPEG", "its frame header is too short")
    bits, height, width, components = struct.unpack(">BHHB", segment[:6])
    if bits != 8 or components not in (1, 3, 4) or marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
        raise InvalidImage(
            f"This JPEG's kind ({bits} bits, {components} components, type {marker:02X}) can't be decoded; "
            "save it as an ordinary 8-bit JPEG."
        )
    return width, height


def _jpeg_scan_end(data: bytes, at: int, *, restarts: bool) -> int:
    """Where the compressed data from `at` ends. Restart markers must count 0 to 7 over and over."""
    found = _JPEG_MARKER.search(data, at)
    if found is None:
        raise _cut_short("JPEG", data)
    end = found.start()
    scan = np.frombuffer(data, np.uint8, count=end - at, offset=at)
    counted = scan[1:][(scan[:-1] == 0xFF) & (scan[1:] & 0xF8 == 0xD0)] & 7
    if counted.size and (not restarts or (counted != np.arange(counted.size) % 8).any()):
        raise _damaged("JPEG", "its restart markers are out of order")
    return end


# --- PNG ------------------------------------------------------------------------------------------

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What pixels depend on. Other chunks (profiles, texts, further frames) are kept from the decoder,
# which would warn of faults in them that don't matter here.
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
_PNG_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


def _png(data: bytes) -> Picture:
    header: tuple[int, ...] | None = None
    orientation: int | None = None
    clear_grey, seen = None, set()
    needed = [_PNG_SIGNATURE]
    for kind, body, whole in _png_chunks(data):
        if header is None:
            if kind != b"IHDR" or len(body) != 13:
                raise _damaged("PNG", "it does not begin with its header")
            header = struct.unpack(">IIBBBBB", body)
            depth, color = header[2:4]
            if depth not in _PNG_DEPTHS.get(color, ()) or header[4:] not in ((0, 0, 0), (0, 0, 1)):
                raise _damaged("PNG", "its header names a kind of pixels that PNG does not have")
        elif kind == b"IHDR":
            raise _damaged("PNG", "it has two headers")
        elif kind == b"eXIf" and orientation is None:
            orientation = exif_orientation(body)
        elif kind == b"tRNS" and color == 0:
            # OpenCV overlooks the transparent value of grey pictures, so the decoder gets it from here.
            clear_grey = int.from_bytes(body[:2], "big")
            continue
        seen.add(kind)
        if kind in _PNG_NEEDED:
            needed.append(whole)
    assert header is not None
    if b"IDAT" not in seen:
        raise _damaged("PNG", "it holds no pixels")
    if color == 3 and b"PLTE" not in seen:
        raise _damaged("PNG", "its palette is missing")
    return Picture(
        format="PNG",
        width=header[0],
        height=header[1],
        orientation=orientation or 1,
        encoded=b"".join(needed),
        pixel_bytes=_png_pixel_bytes(color=color, depth=depth, alpha=b"tRNS" in seen),
        clear_grey=None if clear_grey is None else clear_grey * (255 // (2 ** min(depth, 8) - 1)),
    )


def _png_pixel_bytes(*, color: int, depth: int, alpha: bool) -> int:
    """OpenCV keeps grey as one channel without alpha, everything else as three, or four with it."""
    channels = 1 if color == 0 else 4 if alpha or color in (4, 6) else 3
    return channels * (2 if depth == 16 else 1)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(type, body, whole chunk) up to and with IEND; checksums are checked on the way."""
    at = len(_PNG_SIGNATURE)
    for _ in range(MAX_SEGMENTS):
        if at + 12 > len(data):
            raise _cut_short("PNG", data)
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 12 + length
        kind = data[at + 4 : at + 8]
        if not kind.isalpha():
            raise _damaged("PNG", f"no chunk begins at byte {at}")
        if end > len(data):
            raise _cut_short("PNG", data)
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise _damaged("PNG", f"the checksum of the chunk at byte {at} is wrong")
        yield kind, data[at + 8 : end - 4], data[at:end]
        if kind == b"IEND":
            return
        at = end
    raise _too_fragmented("PNG", f"{MAX_SEGMENTS:,} chunks")


# --- WebP -----------------------------------------------------------------------------------------


def _webp(data: bytes) -> Picture:
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise _cut_short("WebP", data)
    size: tuple[int, int] | None = None
    orientation: int | None = None
    chunks, pixels, at = 0, False, 12
    while at + 8 <= end:
        chunks += 1
        if chunks > MAX_SEGMENTS:
            raise _too_fragmented("WebP", f"{MAX_SEGMENTS:,} chunks")
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + length]
        if at + 8 + length > end:
            raise _damaged("WebP", f"the chunk at byte {at} runs over the end of the file")
        pixels = pixels or kind in (b"VP8 ", b"VP8L", b"ANMF")
        if size is None:
            size = _webp_size(kind, body)
        if kind == b"EXIF" and orientation is None:
            orientation = exif_orientation(body.removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    if size is None or not pixels:
        raise _damaged("WebP", "it holds no pixels")
    return Picture(
        format="WebP",
        width=size[0],
        height=size[1],
        orientation=orientation or 1,
        encoded=data[:end],
        pixel_bytes=4,  # whether it has alpha is said in each frame: the larger of the two
    )


def _webp_size(kind: bytes, body: bytes) -> tuple[int, int]:
    """The picture's size from the file's first chunk, which must be one of the three that tell it."""
    if kind == b"VP8X" and len(body) >= 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if kind == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        bits = int.from_bytes(body[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    raise _damaged("WebP", "its size can't be read")


# --- PPM ------------------------------------------------------------------------------------------

_PPM_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_PPM_HEADER = re.compile(
    rb"P6"
    + _PPM_GAP
    + rb"(\d{1,9})"
    + _PPM_GAP
    + rb"(\d{1,9})"
    + _PPM_GAP
    + rb"(\d{1,5})(?:#[^\r\n]*[\r\n])?\s"
)


def _ppm(data: bytes) -> Picture:
    found = _PPM_HEADER.match(data[:4096])
    if found is None:
        raise _damaged("PPM", "its header is not 'P6 WIDTH HEIGHT 255'")
    width, height, maximum = (int(number) for number in found.groups())
    if maximum != 255:
        raise InvalidImage(f"The PPM's largest value is {maximum}; send one of 255 (8 bits).")
    if len(data) - found.end() < width * height * 3:
        raise _cut_short("PPM", data)
    return Picture(format="PPM", width=width, height=height, orientation=1, encoded=data, header=found.end())


# --- Exif and the rest ----------------------------------------------------------------------------


def exif_orientation(tiff: bytes) -> int:
    """The orientation 1 to 8 in an Exif block (a TIFF file of tags); 1 where it says nothing sensible."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    magic, at = struct.unpack_from(order + "HI", tiff, 2)
    if magic != 42 or at + 2 > len(tiff):
        return 1
    (count,) = struct.unpack_from(order + "H", tiff, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind = struct.unpack_from(order + "HH", tiff, entry)
        if tag == 0x0112:
            # A SHORT by the standard; some writers make it a LONG.
            (value,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), tiff, entry + 8)
            return int(value) if 1 <= value <= 8 else 1
    return 1


def _cut_short(kind: Format, data: bytes) -> InvalidImage:
    return InvalidImage(f"The {kind} is cut short: it ends after {len(data):,} bytes; send the whole file.")


def _too_fragmented(kind: Format, most: str) -> InvalidImage:
    return InvalidImage(f"The {kind} consists of more than {most}, as no picture does; save it again.")


def _damaged(kind: Format, what: str) -> InvalidImage:
    return InvalidImage(f"The {kind} is damaged: {what}; save or send it again.")


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


def _what_it_is(data: bytes) -> str:
    """One sentence that names the format of what is not accepted, as far as it can be told."""
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
    if name is None:
        return f"The {len(data):,} bytes sent are not a picture that is known here; {ACCEPTED}."
    return f"What was sent is {name}, which is not accepted; {ACCEPTED}."
